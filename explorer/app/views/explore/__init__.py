"""Explore: the maps, what colours them, and what is selected."""
