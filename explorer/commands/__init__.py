"""The command line in pieces: one file a family of commands, each with `add(commands, shared)`."""
