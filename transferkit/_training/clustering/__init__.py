"""k-means on a device."""
