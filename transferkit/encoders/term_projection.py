"""Terms as another encoder splits texts into them, and its term vectors, joined with the terms of labelled texts."""

from typing import NamedTuple

import numpy as np
from sklearn.base import clone
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.pipeline import FeatureUnion, Pipeline

from transferkit._algorithms.text.vocabulary import TermStatistics, find_terms, to_vocabulary
from transferkit._validation import is_fitted
from transferkit.encoders._pretrained import PretrainedEncoder
from transferkit.encoders.protocols import ProjectsTerms, TermProjection
from transferkit.encoders.text._tfidf import TfidfEncoder

__all__ = ["Terms", "find_projection", "find_text_settings", "join_terms", "may_pair"]

_NORMALISATION = ("strip_accents", "lowercase", "preprocessor")


class Terms(NamedTuple):
    """The terms of an encoder and the further terms of labelled texts, as columns."""

    encoder: TfidfEncoder  # TF-IDF vectors of unit length, with the idf of the unlabelled texts
    vectors: np.ndarray  # (n_known, n_components), of the first columns
    characters: TfidfEncoder | None = None  # of n-grams of characters, whose columns follow if a model has them

    def encode(self, texts):
        """Return the features of texts (n_texts, n_components): sums of the vectors of their weighted terms."""
        return self.sum_vectors(self.encoder.transform(texts))

    def sum_vectors(self, rows):
        """Return the features of rows of the terms (n_rows, n_terms)."""
        return np.asarray(rows[:, : len(self.vectors)] @ self.vectors)

    def project(self, weights, n_terms):
        """Return the weights of terms (n_scores, n_terms) of a model of features, zero for terms without a vector."""
        projected = np.zeros((len(weights), n_terms), np.float32)
        projected[:, : len(self.vectors)] = weights @ self.vectors.T
        return projected


def find_projection(encoder) -> TermProjection | None:
    """Return the term projection of an encoder, of a frozen one, or of the first part of a FeatureUnion that has one.

    Parameters
    ----------
    encoder : transformer
        Encoder.

    Returns
    -------
    projection : TermProjection or None
        None if the encoder is not fitted or has no term vectors.
    """
    if isinstance(encoder, PretrainedEncoder):
        encoder = encoder.encoder_
    if isinstance(encoder, FeatureUnion):
        found = [find_projection(part) for _, part in encoder.transformer_list if not isinstance(part, str)]
        return next((projection for projection in found if projection is not None), None)
    return encoder.term_projection() if isinstance(encoder, ProjectsTerms) and is_fitted(encoder) else None


def may_pair(projection):
    """Return whether the encoder counts single words, so that pairs of words would be new terms."""
    words = projection.words
    return words.analyzer == "word" and tuple(words.ngram_range) == (1, 1)


def join_terms(projection, texts, pairs=False):
    """Return the terms of an encoder with those of labelled texts added.

    Parameters
    ----------
    projection : TermProjection
        Term vectors of the encoder.
    texts : list of str
        Labelled texts, perhaps none.
    pairs : bool, default=False
        Also add pairs of adjacent words that occur in more than one of these texts.

    Returns
    -------
    terms : Terms
        The terms of the encoder keep their columns; new ones follow.
    """
    settings = {
        "min_df": 1,
        "max_df": 1.0,
        "max_features": None,
        "vocabulary": None,
        "max_vocabulary": None,
        "binary": False,
    }
    blank = clone(projection.words).set_params(**settings, use_idf=True, norm="l2", sublinear_tf=True)
    known, columns = projection.words.terms_.kept
    found = [known, _count_terms(blank, texts)] if len(texts) else [known]
    if pairs:
        blank.set_params(ngram_range=(1, 2))
        found.append(_count_terms(blank, texts, least=2))
    terms = to_vocabulary(found)
    places = find_terms(known.hashes, known.checks, terms.hashes, terms.checks)
    is_new = places < 0
    joined = np.where(is_new, len(columns) - 1 + np.cumsum(is_new), columns[places]).astype(np.int32)
    largest = max(1 + np.log1p(projection.words.n_documents_), projection.idf.max())
    idf = np.full(len(joined), largest, np.float32)
    idf[: len(columns)] = projection.idf
    encoder = blank.set_terms(TermStatistics(terms, projection.words.n_documents_), joined, idf)
    return Terms(encoder, projection.vectors)


def _count_terms(words, texts, least=1):
    """Return the terms that occur in at least `least` texts, without the warnings that a fit gives."""
    terms = words.count_terms(texts).terms
    return terms.select(np.flatnonzero(terms.document_frequency >= least))


def find_text_settings(encoder):
    """Return the parameters by which an encoder normalises texts and splits them into words or characters.

    Another encoder with these parameters splits texts in the same way.

    Parameters
    ----------
    encoder : transformer or None
        A text encoder, or a PretrainedEncoder, Pipeline or FeatureUnion that holds one; the first one counts.

    Returns
    -------
    settings : dict
        Parameters of :class:`TfidfEncoder`, without those that it would ignore; empty if there is no text encoder.
    """
    params = next(_list_text_params(encoder), None)
    if params is None:
        return {}
    analyzer = params["analyzer"]
    if callable(analyzer):
        return {"analyzer": analyzer}
    settings = {name: params[name] for name in _NORMALISATION}
    if analyzer != "word":
        return {**settings, "analyzer": analyzer, "ngram_range": params["ngram_range"]}
    tokenizer = params["tokenizer"]
    return {**settings, "tokenizer": tokenizer, "token_pattern": params["token_pattern"] if tokenizer is None else None}


def _list_text_params(encoder):
    if isinstance(encoder, PretrainedEncoder):
        yield from _list_text_params(encoder.encoder_)
    elif isinstance(encoder, (Pipeline, FeatureUnion)):
        for _, part in encoder.steps if isinstance(encoder, Pipeline) else encoder.transformer_list:
            yield from _list_text_params(part)
    elif hasattr(encoder, "token_pattern") and hasattr(encoder, "get_params"):
        yield {**CountVectorizer().get_params(), **encoder.get_params(deep=False)}  # others may have fewer
