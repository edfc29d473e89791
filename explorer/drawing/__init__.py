"""Publication figures: maps, charts, legends and pages of them."""
