"""Figures and export: the figure of what was pinned, and the files to take home."""
