"""Encoders: transformers pretrained on unlabelled data."""

from typing import TYPE_CHECKING

from transferkit._lazy import import_when_asked

if TYPE_CHECKING:  # editors and type checkers do not follow __getattr__
    from transferkit.encoders._autoencoder import AutoencoderEncoder
    from transferkit.encoders._kmeans import KMeansEncoder
    from transferkit.encoders._lsa import LSAEncoder
    from transferkit.encoders._pretrained import PretrainedEncoder
    from transferkit.encoders._sentence import SentenceEncoder
    from transferkit.encoders._som import SOMEncoder
    from transferkit.encoders._tfidf import TfidfEncoder
    from transferkit.encoders._torch import TorchEncoder
    from transferkit.encoders._word_vectors import WordVectorEncoder

__getattr__, __dir__ = import_when_asked(
    __name__,
    {
        "AutoencoderEncoder": "._autoencoder",
        "KMeansEncoder": "._kmeans",
        "LSAEncoder": "._lsa",
        "PretrainedEncoder": "._pretrained",
        "SOMEncoder": "._som",
        "SentenceEncoder": "._sentence",
        "TfidfEncoder": "._tfidf",
        "TorchEncoder": "._torch",
        "WordVectorEncoder": "._word_vectors",
    },
)

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
