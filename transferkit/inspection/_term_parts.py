"""An encoded text as a sum over its terms, and the positions of these in the text."""

import re
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from sklearn.base import OneToOneFeatureMixin, clone
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer
from sklearn.feature_selection import SelectorMixin
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import MaxAbsScaler, Normalizer, RobustScaler, StandardScaler

from transferkit._lazy import DerivedValues
from transferkit.adaptation.protocols import LinearOnTarget
from transferkit.encoders import PretrainedEncoder
from transferkit.encoders.protocols import LinearForm, LinearInTerms
from transferkit.exceptions import NotLinearError

__all__ = ["find_spans", "pull_back", "split_features", "text_encoders"]


class TermParts(NamedTuple):
    """Contributions of terms to the features of one text, which are the sum of these and the offset."""

    terms: np.ndarray  # (n_terms,) of str objects
    rows: np.ndarray  # or CSR matrix, (n_terms, n_features)
    offset: np.ndarray  # (n_features,)


def split_features(encoder, text):
    """Return the features of a text as a sum over its terms; raise NotLinearError that names a step that is not linear.

    The encoder is a text encoder, one of scikit-learn's vectorizers, or a Pipeline or FeatureUnion of these with linear
    steps.
    """
    encoder, steps = _unwrap(encoder)
    if isinstance(encoder, FeatureUnion):
        parts = _join([split_features(part, text) for part in _union_parts(encoder)])
    else:
        form = _linear_form(encoder)
        n_kept = 0
        if form.projection is None:
            n_kept = next((i for i, step in enumerate(steps) if not _keeps_columns(step)), len(steps))
        parts, steps = _split_linear(form, text, steps[:n_kept]), steps[n_kept:]
    for step in steps:
        parts = _normalise(parts, step.norm) if isinstance(step, Normalizer) else _apply(parts, *_as_linear(step))
    return parts


def pull_back(encoder, coef):
    """Return the terms of an encoder, and the weight of one unit of each (n_terms, n_outputs) given those of features.

    The encoder is one that `split_features` accepts; normalisation of rows is left out. A term that several encoders of
    a union have occurs several times.
    """
    encoder, steps = _unwrap(encoder)
    for step in reversed(steps):
        if not isinstance(step, (Normalizer, TfidfTransformer)):
            coef = _as_linear(step)[0] @ coef
    if isinstance(encoder, FeatureUnion):
        found, begin = [], 0
        for part in _union_parts(encoder):
            end = begin + len(part.get_feature_names_out())
            found.append(pull_back(part, coef[begin:end]))
            begin = end
        return np.concatenate([terms for terms, _ in found]), np.vstack([weights for _, weights in found])
    form = _linear_form(encoder)
    if form.removed is not None:
        coef = coef - np.outer(form.removed, form.removed @ coef)
    if form.projection is not None:
        coef = form.projection @ coef
    return _name_columns(form.vectorizer), coef if form.weights is None else form.weights[:, None] * coef


def text_encoders(encoder):
    """Return the vectorizers inside a text encoder: one, or as many as a union has parts."""
    encoder, _ = _unwrap(encoder)
    if isinstance(encoder, FeatureUnion):
        return [vectorizer for part in _union_parts(encoder) for vectorizer in text_encoders(part)]
    return [_linear_form(encoder).vectorizer]


def find_spans(vectorizer, text, terms):
    """Return (start, end, index of the term) of each term that can be located in a text, sorted by position.

    `vectorizer` extracted the terms, or some of them: others are not located. Neither are terms that its tokenizer
    changed.
    """
    places = {term: index for index, term in enumerate(terms)}
    if vectorizer.analyzer == "word" and vectorizer.tokenizer is None:
        spans = _find_words(vectorizer, text, places)
    else:
        places = {term: places[term] for term in sorted(set(vectorizer.build_analyzer()(text)) & places.keys())}
        spans = [span for term, index in places.items() for span in _find_characters(text, term, index)]
    return sorted(spans)


def _unwrap(encoder):
    """Return the encoder of texts and the steps after it."""
    if isinstance(encoder, PretrainedEncoder):
        return _unwrap(encoder.encoder_)
    if isinstance(encoder, Pipeline):
        steps = [step for _, step in encoder.steps if step not in (None, "passthrough")]
        first, before = _unwrap(steps[0])
        return first, [*before, *steps[1:]]
    if not isinstance(encoder, (FeatureUnion, LinearInTerms, CountVectorizer)):  # which TfidfVectorizer is, too
        raise NotLinearError(f"{type(encoder).__name__} is not known to be linear in the terms of a text")
    return encoder, []


def _union_parts(union):
    if union.transformer_weights:
        raise NotLinearError("FeatureUnion with transformer_weights is not supported")
    return [part for _, part in union.transformer_list if part not in ("drop", "passthrough")]


def _keeps_columns(step):
    return isinstance(step, (OneToOneFeatureMixin, SelectorMixin)) and not getattr(step, "with_mean", False)


def _linear_form(encoder):
    return encoder.as_linear() if isinstance(encoder, LinearInTerms) else LinearForm(encoder)


def _split_linear(form, text, steps):
    """Split the features of a linear encoder, and of steps after it that keep one entry per term."""
    parts = _split_row(form, text, steps)
    if form.projection is not None:
        parts = _apply(parts, form.projection)
    if form.removed is not None:
        parts = parts._replace(rows=parts.rows - np.outer(parts.rows @ form.removed, form.removed))
    return parts if form.norm is None else _normalise(parts, form.norm)


def _split_row(form, text, steps):
    row, names = form.vectorizer.transform([text]), _name_columns(form.vectorizer)
    for step in steps:
        row = step.transform(row)
        names = names[step.get_support()] if isinstance(step, SelectorMixin) else names
    row = sp.csr_array(row)
    data, n_terms = row.data, len(row.data)
    if form.weights is not None:
        data = data * form.weights[row.indices]
    if form.averages:
        data = data / (data.sum() or 1)
    parts = sp.csr_array((data, row.indices, np.arange(n_terms + 1)), shape=(n_terms, row.shape[1]))
    return TermParts(names[row.indices], parts, np.zeros(row.shape[1]))


_names: DerivedValues[np.ndarray] = DerivedValues()  # of vectorizers, because decoding them takes long


def _name_columns(vectorizer):
    is_encoder = isinstance(vectorizer, LinearInTerms)
    fitted = vectorizer.idf_ if is_encoder else getattr(vectorizer, "vocabulary_", None)
    return _names.get(vectorizer, [fitted], lambda: np.asarray(vectorizer.get_feature_names_out(), dtype=object))


def _join(parts):
    rows = [part.rows for part in parts]
    return TermParts(
        np.concatenate([part.terms for part in parts]),
        sp.block_diag(rows, format="csr"),
        np.concatenate([part.offset for part in parts]),
    )


def _apply(parts, matrix, offset=0.0):
    return TermParts(parts.terms, parts.rows @ matrix, parts.offset @ matrix + offset)


def _normalise(parts, norm="l2"):
    row = np.asarray(parts.rows.sum(axis=0)).ravel() + parts.offset
    sizes = {"l1": np.abs(row).sum(), "l2": np.sqrt(np.square(row).sum()), "max": np.abs(row).max(initial=0)}
    size = sizes[norm] or 1.0
    return TermParts(parts.terms, parts.rows / size, parts.offset / size)


def _as_linear(step):
    """Return the matrix (n_features_in, n_features_out) and the offset of a fitted transformer."""
    if isinstance(step, TruncatedSVD):
        return step.components_.T, 0.0
    if isinstance(step, PCA):
        matrix = step.components_.T / (np.sqrt(step.explained_variance_) if step.whiten else 1.0)
        return matrix, -(step.mean_ @ matrix)
    if isinstance(step, SelectorMixin):
        kept = step.get_support(indices=True)
        shape = (step.n_features_in_, len(kept))
        return sp.csr_array((np.ones(len(kept)), (kept, np.arange(len(kept)))), shape=shape), 0.0
    if isinstance(step, (StandardScaler, MaxAbsScaler, RobustScaler)):
        scale = 1.0 if step.scale_ is None else 1 / step.scale_
        middle = getattr(step, "mean_" if isinstance(step, StandardScaler) else "center_", None)
        centred = getattr(step, "with_mean", getattr(step, "with_centering", False)) and middle is not None
        factors = np.broadcast_to(scale, step.n_features_in_)
        return sp.diags_array(factors).tocsr(), -middle * scale if centred else 0.0
    if isinstance(step, LinearOnTarget):  # an adaptation: predictions are for rows of the target
        return step.target_map()
    raise NotLinearError(f"{type(step).__name__} is not known to be linear")


def _find_words(vectorizer, text, places):
    analyze = _make_word_analyzer(vectorizer)
    words = []
    for match in re.finditer(vectorizer.token_pattern, text):
        group = 1 if match.re.groups else 0
        words += [(*match.span(group), word) for word in analyze(match.group(0))]
    lowest, highest = vectorizer.ngram_range
    for n in range(lowest, highest + 1):
        for first in range(len(words) - n + 1):
            index = places.get(" ".join(word for *_, word in words[first : first + n]))
            if index is not None:
                yield words[first][0], words[first + n - 1][1], index


def _make_word_analyzer(vectorizer):
    single = clone(vectorizer).set_params(ngram_range=(1, 1), vocabulary=None)
    return single.build_analyzer()


def _find_characters(text, term, index):
    """Yield the positions of a character n-gram; a space at its ends matches the edge of a word."""
    left, right = ("(?<!\\S)" if term.startswith(" ") else ""), ("(?!\\S)" if term.endswith(" ") else "")
    core = r"\s+".join(map(re.escape, term.split()))
    if core:
        for match in re.finditer(left + core + right, text, flags=re.IGNORECASE):
            yield match.start(), match.end(), index
