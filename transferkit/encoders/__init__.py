"""Encoders: transformers pretrained on unlabelled data."""

from typing import TYPE_CHECKING

from transferkit._lazy import import_when_asked

if TYPE_CHECKING:  # editors and type checkers do not follow __getattr__
    from transferkit.encoders._pretrained import PretrainedEncoder
    from transferkit.encoders.networks._autoencoder import AutoencoderEncoder
    from transferkit.encoders.networks._sentence import SentenceEncoder
    from transferkit.encoders.networks._torch import TorchEncoder
    from transferkit.encoders.rows._kmeans import KMeansEncoder
    from transferkit.encoders.rows._som import SOMEncoder
    from transferkit.encoders.text._lsa import LSAEncoder
    from transferkit.encoders.text._tfidf import TfidfEncoder
    from transferkit.encoders.words._word_vectors import WordVectorEncoder

__getattr__, __dir__ = import_when_asked(
    __name__,
    {
        "AutoencoderEncoder": ".networks._autoencoder",
        "KMeansEncoder": ".rows._kmeans",
        "LSAEncoder": ".text._lsa",
        "PretrainedEncoder": "._pretrained",
        "SOMEncoder": ".rows._som",
        "SentenceEncoder": ".networks._sentence",
        "TfidfEncoder": ".text._tfidf",
        "TorchEncoder": ".networks._torch",
        "WordVectorEncoder": ".words._word_vectors",
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
