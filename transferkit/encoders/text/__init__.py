"""Encoders of texts by the terms that they contain.

A *document* is a text, or a file with one; a *term* is a word, an n-gram of words, or an n-gram of characters.

An :class:`Analyzer` (`_analyzer`) turns documents into terms by the text parameters of an encoder: decoding, case,
accents, tokens, stop words, stems and n-grams. With the default rules it works on arrays of bytes, a block of texts at
a time; if the user gives functions or a pattern, on one text at a time.

Counting (`_counting`) runs an analyzer over a corpus, with threads. It results in counts by document, from which
vectors are computed, or in :class:`TermStatistics`: the vocabulary, and in how many documents each term occurs.
Statistics of batches and shards are added up.

:class:`FittedTerms` (`_fitted_terms`) are the terms that an encoder was fitted to: a column and a weight for each, and
those that `min_df`, `max_df` or `max_features` exclude. They look terms up, and are what pickles and model files hold;
most files hold them packed (:class:`PackedTerms`, in `_packed_terms`), in a third of the bytes.

:class:`TfidfEncoder` weights counts by the inverse document frequency. :class:`LSAEncoder` projects these vectors onto
their leading singular vectors (latent semantic analysis). Both can be fitted at once, in batches (`partial_fit`), from
other encoders (`merge`), and by passes over a corpus in shards.

`_parameters` declares the constraints of the text parameters, and warns if they do not suit the language of the texts.
The algorithms are in `transferkit._algorithms.text`.
"""

from typing import TYPE_CHECKING

from transferkit._lazy import import_when_asked

if TYPE_CHECKING:  # editors and type checkers do not follow __getattr__
    from transferkit.encoders.text._analyzer import DEFAULT_TOKEN_PATTERN, Analyzer
    from transferkit.encoders.text._fitted_terms import FittedTerms
    from transferkit.encoders.text._lsa import LSAEncoder
    from transferkit.encoders.text._tfidf import TfidfEncoder

__getattr__, __dir__ = import_when_asked(
    __name__,
    {
        "DEFAULT_TOKEN_PATTERN": "._analyzer",
        "Analyzer": "._analyzer",
        "FittedTerms": "._fitted_terms",
        "LSAEncoder": "._lsa",
        "TfidfEncoder": "._tfidf",
    },
)

__all__ = [
    "DEFAULT_TOKEN_PATTERN",
    "Analyzer",
    "FittedTerms",
    "LSAEncoder",
    "TfidfEncoder",
]
