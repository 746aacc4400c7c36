"""Stems of words, by a language's stemmer or by a function of the user's."""

from collections.abc import Callable, Sequence
from threading import Lock

from sklearn.feature_extraction.text import CountVectorizer

from transferkit.exceptions import MissingExtraError


class Stems:
    """The stem of each word that was asked for, found once.

    Parameters
    ----------
    stem : callable
        From a list of words to their stems.
    """

    def __init__(self, stem: Callable[[Sequence[str]], Sequence[str]]) -> None:
        self._stem = stem
        self._known: dict[str, str] = {}

    def __call__(self, words: Sequence[str]) -> list[str]:
        """Return the stem of each word."""
        new = [word for word in words if word not in self._known]
        if new:
            stems = self._stem(new)
            for word, stem in zip(new, stems, strict=True):
                if not isinstance(stem, str) or any(map(str.isspace, stem)):
                    raise ValueError(
                        "The 'stemmer' must turn a word into one word (a str without white space). "
                        f"Got {stem!r} for {word!r}."
                    )
            self._known.update(zip(new, stems, strict=True))
        return [self._known[word] for word in words]


def make_stems(stemmer) -> Stems | None:
    """Return the stems by a language or by a function on one word; None for None."""
    if stemmer is None:
        return None
    if callable(stemmer):
        return Stems(lambda words: [stemmer(word) for word in words])
    try:
        import Stemmer
    except ImportError as error:
        raise MissingExtraError(f"stemmer={stemmer!r}", "text") from error
    if stemmer not in Stemmer.algorithms(aliases=True):
        raise ValueError(
            f"The 'stemmer' parameter must be a callable or one of {Stemmer.algorithms()}. Got {stemmer!r} instead."
        )
    snowball, lock = Stemmer.Stemmer(stemmer), Lock()

    def stem(words: Sequence[str]) -> list[str]:
        with lock:  # a Stemmer keeps a cache that is not made for threads
            return snowball.stemWords(words)

    return Stems(stem)


def stemming_analyzer(vectorizer: CountVectorizer, stems: Stems) -> Callable[[str], list[str]]:
    """Return what an analysis with stems does with one document, in plain Python."""
    preprocess, tokenize = vectorizer.build_preprocessor(), vectorizer.build_tokenizer()
    stop_words = vectorizer.get_stop_words() or ()
    lowest, highest = vectorizer.ngram_range

    def analyze(document: str) -> list[str]:
        words = [word for word in tokenize(preprocess(vectorizer.decode(document))) if word not in stop_words]
        found = stems(words)
        return [
            " ".join(found[first : first + n])
            for n in range(lowest, highest + 1)
            for first in range(len(found) - n + 1)
        ]

    return analyze
