"""From a file to aligned cells: what an h5ad file holds, what its genes are, which cells and genes go on."""
