"""Mathematics on arrays: no estimator, no files, no torch."""
