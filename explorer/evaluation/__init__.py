"""How good the methods are: batches and types left out, measured, and told as a scorecard."""
