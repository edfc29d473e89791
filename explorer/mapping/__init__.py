"""The query corridor: aligned cells to labels and places, by one method or several."""
