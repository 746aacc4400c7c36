"""Linear heads: logistic regression and ridge regression."""
