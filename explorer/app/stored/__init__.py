"""What one server holds for all tabs: references, results, projects, uploads."""
