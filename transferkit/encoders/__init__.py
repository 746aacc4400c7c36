"""Encoders: transformers pretrained on unlabelled data."""

from transferkit.encoders._autoencoder import AutoencoderEncoder
from transferkit.encoders._kmeans import KMeansEncoder
from transferkit.encoders._lsa import LSAEncoder
from transferkit.encoders._pretrained import PretrainedEncoder
from transferkit.encoders._sentence import SentenceEncoder
from transferkit.encoders._som import SOMEncoder
from transferkit.encoders._tfidf import TfidfEncoder
from transferkit.encoders._torch import TorchEncoder
from transferkit.encoders._word_vectors import WordVectorEncoder

__all__ = [
    "AutoencoderEncoder",
    "KMeansEncoder",
    "LSAEncoder",
    "PretrainedEncoder",
    "SOMEncoder",
    "SentenceEncoder",
    "TfidfEncoder",
    "TorchEncoder",
    "WordVectorEncoder",
]
