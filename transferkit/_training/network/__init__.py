"""Training of feed-forward networks by gradient descent.

`training.train_network` is the entry: layers with NumPy arrays, examples and options in, layers with trained arrays
out.

- `layers`: The layers of `_algorithms.networks.layers` on the device, with forward and backward passes in closed form.
- `network`: The layers in sequence, the first of which may be the module of a user, which autograd differentiates.
- `parameters`: A *parameter* is a view of an array in the *flat buffer* of its *parameter group*: learning rate,
  freezing, L2 penalty and anchor (L2-SP) are set per group. The first weights of a sparse input are a *row parameter*
  instead, of which a step changes only the rows of the features in its batch.
- `data`: Samples, targets and weights on the device; shuffling, augmentation and batches.
- `losses`: Losses with their gradients with respect to the scores, and validation metrics.
- `loop`: The *objective* (mean loss of the data as a function of the parameters), the *update step* (operation by
  operation, captured as a CUDA graph, or L-BFGS with a line search), and the loop over epochs and batches.
- `optimisers`: Update rules (SGD, momentum, RMSProp, AdaGrad, Adam) and the *optimiser state* between steps.
- `schedules`: Learning rates and batch sizes per epoch, the learning rate range test, the patience of early stopping,
  and changes of the weights after each epoch: averaging (SWA) and gradual pruning.
"""
