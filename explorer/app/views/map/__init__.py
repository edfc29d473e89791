"""Map: choose models, start them, follow them."""
