"""Feed-forward networks in NumPy: layers, initial weights, compression.

- `layers`: One class per kind of layer, which holds NumPy arrays and predicts with them: linear, tied linear,
  activation, dropout, batch normalisation, L2 normalisation, convolution, upsampling. The same objects describe a
  network to `_training.network`, which trains it and returns them with other arrays. A batch normalisation can be
  *folded* into the linear layer before it. Images are stored as rows (height, width, n_channels). Initial
  weights are drawn by the methods of Xavier, Kaiming and others.
- `compression`: Pruning masks, quantisation to float16 and int8, and sizes in bytes.
"""
