"""Domain adaptation: alignment, importance weights, pivots, validation without target labels."""
