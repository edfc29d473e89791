"""Quality: whether the mapping can be trusted, and how sure is sure enough."""
