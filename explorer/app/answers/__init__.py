"""What tabs ask of mapped cells, as plain values: markers, signatures, gene sets, prototypes, samples."""
