"""What one takes away from the page: figures, tables, files."""
