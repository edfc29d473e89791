"""What leaves the house: h5ad, csv, reports, scripts."""
