"""Encoders that are neural networks.

- `_autoencoder`: `AutoencoderEncoder`, trained on unlabelled numbers or images to reconstruct its input, stored in
  NumPy.
- `_autoencoder_layers`: The layers of its encoder and decoder for given sizes: linear ones, and convolutions for
  images.
- `_torch`: `TorchEncoder`, the features of a trained torch module.
- `_sentence`: `SentenceEncoder`, embeddings of texts by a sentence-transformers or model2vec model.

`AutoencoderEncoder` and `TorchEncoder` offer their layers for fine-tuning, as `encoders.protocols.FineTunable`
describes. `TorchEncoder` and `SentenceEncoder` need torch to transform.
"""
