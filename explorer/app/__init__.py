"""The served half: the only place where Panel and atlas meet."""
