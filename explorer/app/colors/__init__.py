"""What colours the cells, and how what is seen was drawn."""
