"""Pure PyTorch: tensors in, tensors and losses out. Knows neither files nor labels' names."""
