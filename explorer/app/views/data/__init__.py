"""Data: bring a file, or make a reference of it."""
