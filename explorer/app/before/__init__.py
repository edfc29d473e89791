"""What is known before cells are mapped: the file, its remedies, the ways to map, about how long they take."""
