"""Feature vectors and images: distances to clusters, maps, patches."""
