"""Linear models: ridge regression, predictions, feature blocks, transferability scores."""
