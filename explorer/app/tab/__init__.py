"""What one person chose and what has been computed for her: the session and its parts. No widgets."""
