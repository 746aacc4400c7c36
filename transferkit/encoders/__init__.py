"""Encoders: transformers pretrained on unlabelled data."""

from transferkit._lazy import import_when_asked

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
