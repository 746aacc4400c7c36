"""Network heads: multilayer perceptrons for classification and regression.

A fit reads: check the parameters; encode y into a `TrainingSet`; hold out a validation set; make the initial layers;
make the options of training; call `transferkit._training.network`; store NumPy arrays.

- `_mlp_classifier`, `_mlp_regressor`: The estimators: parameters, encoding of targets, predictions.
- `_base`: Their base class: `fit`, `partial_fit`, the refit of non-zero weights after pruning, the outputs of the
  network.
- `_initial_weights`: Initial layers: drawn, given, copied from a fitted head (transfer by `weight_init`), or those of
  the last fit (`warm_start`).
- `_parameters`: Constraints of the parameters, checks of combinations, and the options of training.
"""
