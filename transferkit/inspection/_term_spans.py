"""Positions of terms in a text."""

import re

from sklearn.base import clone

__all__ = ["find_spans"]


def find_spans(vectorizer, text, terms):
    """Locate terms in a text.

    Parameters
    ----------
    vectorizer : TfidfEncoder or CountVectorizer
        The vectorizer that extracted the terms.
    text : str
        The text.
    terms : iterable of str
        Terms that occur in it.

    Returns
    -------
    spans : list of tuple (start, end, term index)
        Sorted by position. Terms that cannot be located, because a tokenizer changed them, are missing.
    """
    places = {term: index for index, term in enumerate(terms)}
    if vectorizer.analyzer == "word" and vectorizer.tokenizer is None:
        spans = _find_words(vectorizer, text, places)
    else:
        spans = [span for term, index in places.items() for span in _find_characters(text, term, index)]
    return sorted(spans)


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
