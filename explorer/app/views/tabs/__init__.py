"""Below the maps: one tab a question."""
