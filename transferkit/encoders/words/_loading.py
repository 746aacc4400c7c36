"""Word vectors of files and other packages, compared with how texts are split into words."""

import os
import warnings

import numpy as np

from transferkit._warnings import count_inner_frames
from transferkit.encoders.words.vector_files import read_vectors
from transferkit.exceptions import ModelFileError

__all__ = ["read_words_of", "shares_of_counts", "warn_of_words_no_text_gives"]

_N_SAMPLED = 1000  # words
_REMEDY = (
    "Set token_pattern=r'\\S+' if spaces separate the words of texts, else tokenizer=... to a function that splits "
    "a text into such words; and check strip_accents and stemmer."
)


def read_words_of(texts, analyze, path, **reading):
    """Read the vectors of some words, and of the words of some texts.

    Parameters
    ----------
    texts : list of str
        Words or texts.
    analyze : callable
        Splits a text into words.
    path : str or path
        File of word vectors.
    **reading : any
        Further arguments of `read_vectors`.

    Returns
    -------
    words, ranks, vectors
        Those of `read_vectors`.

    Raises
    ------
    ValueError
        If the file has none of the words, but has words that `analyze` splits differently.
    ModelFileError
        If the file cannot be read, or has none of the words for another reason.
    """
    wanted = {word for text in texts for word in [text, *analyze(text)]}
    try:
        return read_vectors(path, wanted, **reading)
    except ModelFileError as error:
        others = {piece for text in texts for piece in [*text.split(), *text]} - wanted
        found = _find_first(path, others, reading)
        if found is None:
            raise
        raise ValueError(
            f"Words of restrict_to are in {os.fspath(path)!r}, {found!r} for example, but the tokens of its "
            f"texts are not. {_REMEDY}"
        ) from error


def _find_first(path, words, reading):
    try:
        with warnings.catch_warnings(action="ignore"):
            return read_vectors(path, words, **reading)[0][0] if words else None
    except ModelFileError:
        return None


def warn_of_words_no_text_gives(words, analyze):
    """Warn if most of the first, and so most frequent, words are split into other tokens when they occur in a text."""
    first = words[:_N_SAMPLED]
    lost = [word for word in first if [token.lower() for token in analyze(word)] != [word.lower()]]
    if len(lost) > len(first) / 2:
        examples = ", ".join(map(repr, lost[:3]))
        warnings.warn(
            f"{len(lost)} of the first {len(first)} words cannot be found in texts, because they are split into "
            f"other tokens: {examples}. {_REMEDY}",
            UserWarning,
            stacklevel=count_inner_frames(),
        )


def shares_of_counts(counts, n_words):
    """Return the shares of words up to a factor: gensim's counts if they are real, else 1 / rank (Zipf's law)."""
    counts = np.empty(0) if counts is None else np.asarray(counts, np.float64)
    ranks = np.arange(1, n_words + 1)
    if len(counts) != n_words or not (counts > 0).all() or np.array_equal(counts, ranks[::-1]):
        return 1.0 / ranks
    return counts
