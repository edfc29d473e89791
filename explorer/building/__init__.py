"""The reference corridor: annotated cells to a reference, trained, refitted or extended."""
