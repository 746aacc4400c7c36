"""Linear algebra on dense and sparse matrices: decompositions, covariances, centring."""
