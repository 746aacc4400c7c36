"""Linear models without torch: closed-form solutions, predictions, and evaluation of features.

- `ridge`: ridge regression for many penalties from one decomposition, with exact held-out errors. For RidgeHead.
- `logistic_regression`: one small logistic or softmax regression by preconditioned L-BFGS, with the `losses` of its
  scores. For LogisticHead.
- `kernel_search`: logistic regressions of few rows for many values of C, scales of blocks and folds at once, by
  `kernel_lbfgs` in the space of the rows. For TransferClassifier.
- `predictions`: linear models, their decision values and probabilities.
- `feature_blocks`: dense and sparse features side by side, without a common format; weighted, centred rows of them as
  an operator, with sparse columns centred implicitly, for ridge regression.
- `term_prior`: features from term vectors beside those of the terms, folded into one weight per term after training.
- `soft_labels`: linear discriminants of rows with soft labels, and self-training.
- `grid_descent`: search of a grid of parameters by descent along its axes.
- `transferability`: scores of frozen features for a task (LogME, H-score, LEEP, nearest neighbours).

Training of larger logistic regressions, and of many at once on more rows, lies in ``_training.linear``, on torch
tensors.
"""
