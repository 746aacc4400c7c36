"""Encoders: transformers that learn from unlabelled data and turn raw input into feature vectors.

One package per kind of input or method:

- `text`: texts to TF-IDF vectors, and to dense vectors by latent semantic analysis.
- `words`: texts to pooled word vectors, trained on co-occurrences or read from files.
- `rows`: feature vectors or small images to activations of clusters (k-means) or of a self-organising map.
- `networks`: autoencoders, torch modules and sentence models.

Every encoder is a scikit-learn transformer: `fit` learns from unlabelled data, `transform` returns features. Many can
also be fitted in batches (`partial_fit`), added up (`merge`), or fitted to shards.

:class:`PretrainedEncoder` (`_pretrained`) freezes a fitted encoder, or a model file: `fit` changes nothing, and `clone`
keeps the state, so that folds and searches share one encoder. It remembers the features of samples that it has encoded
(`_embedding_cache`): one bounded cache per process, by digests of the input, for all copies of an encoder. A clone of
any other encoder is not fitted; `_pretraining` warns if a model fits one that was pretrained.

`model_parts` splits a model into its encoder and what predicts from the features, to encode once for several results.
`protocols` lists what other packages ask of encoders beyond scikit-learn's API, such as a linear form, layers to
fine-tune, or passes over shards. `term_projection` joins the terms of an encoder with those of labelled texts, for
models that are trained on terms, and finds the parameters by which an encoder splits texts.
"""

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
