"""Networks in NumPy: initial weights, inference, compression."""
