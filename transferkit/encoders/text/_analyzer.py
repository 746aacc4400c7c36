"""Terms of texts, found and counted by the parameters of a text encoder."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from threading import Lock

import numpy as np
from sklearn.feature_extraction.text import CountVectorizer

from transferkit._algorithms.text.term_counts import TermCounts, count_terms, count_through_words
from transferkit._algorithms.text.text_bytes import TextBytes, encode_documents, strip_accents
from transferkit._algorithms.text.tokens import (
    NGrams,
    Tokens,
    character_ngrams,
    find_words,
    hash_spans,
    hash_strings,
    pad,
    word_ngrams,
)
from transferkit._algorithms.text.vocabulary import decode_terms, find_terms
from transferkit._lazy import DerivedValues
from transferkit._validation import skip_check_of_stop_words
from transferkit.exceptions import MissingExtraError

__all__ = [
    "DEFAULT_TOKEN_PATTERN",
    "Analyzer",
    "TextSample",
    "choose_unit",
    "find_analyzer",
    "join_texts",
    "make_analyzer",
    "make_vectorizer",
]

DEFAULT_TOKEN_PATTERN = r"(?u)\b\w\w+\b"
# The parameters that an analyzer depends on.
_ANALYZER_PARAMETERS = (
    "input",
    "encoding",
    "decode_error",
    "strip_accents",
    "lowercase",
    "preprocessor",
    "tokenizer",
    "analyzer",
    "stop_words",
    "token_pattern",
    "ngram_range",
    "stemmer",
)
# Characters in a block: its arrays should fit into the cache, and still be worth the calls.
_BLOCK_SIZE = {"word": 1 << 18, "char": 1 << 17, "char_wb": 1 << 21, "plain": 1 << 20}
# Bytes and n-grams of one text. Arrays number those of a block in four bytes, and other texts of it need as much again.
_MOST_POSITIONS = 1 << 30
_MOST_BYTES = 4  # per character
_SHOWN = 60  # characters of a text or value that a message quotes
_MOST_TEXTS, _TEXTS_PER_BLOCK, _MOST_CHARACTERS = 1024, 64, 500  # of a sample


class TextSample:
    """Some of the texts that an encoder is fitted to, the first characters of each, taken evenly from every block."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def add(self, block: Sequence[str]) -> None:
        """Take a few texts of a block."""
        if len(self.texts) < _MOST_TEXTS:
            step = -(-len(block) // _TEXTS_PER_BLOCK)
            self.texts += [text[:_MOST_CHARACTERS] for text in block[::step]]


@dataclass(frozen=True)
class Analyzer:
    """Turns texts into terms.

    `unit` is 'word', 'char_wb' or 'char' if texts are processed as arrays, and 'plain' if functions or a pattern of the
    user must be called for each text. `stop_words` are hashes. `stem` returns the stems of a list of words. `analyze`
    returns the terms of one document for every unit. `vectorizer` is scikit-learn's with the same parameters, for the
    functions that it builds. `holds_text` is False if documents are files. `sample` collects some of the texts, for
    warnings about them.
    """

    unit: str
    lowercase: bool
    accents: str | None
    ngram_range: tuple[int, int]
    stop_words: tuple[np.ndarray, np.ndarray] | None
    stem: Callable[[Sequence[str]], list[str]] | None
    analyze: Callable[[str], Sequence[str]]
    vectorizer: CountVectorizer
    holds_text: bool
    sample: TextSample | None = None

    def split(self, documents: Iterable[object]) -> Iterator[list[str]]:
        """Decode the documents and yield them in blocks."""
        block: list[str] = []
        size, limit = 0, _BLOCK_SIZE[self.unit]
        n_sizes = self.ngram_range[1] - self.ngram_range[0] + 1
        for position, document in enumerate(documents):
            text = document if self.holds_text and type(document) is str else self.vectorizer.decode(document)
            if len(text) * max(_MOST_BYTES, min(n_sizes, len(text))) > _MOST_POSITIONS:
                raise ValueError(
                    f"The text at position {position} is too long to be counted at once: it has {len(text)} characters "
                    f"(with ngram_range={self.ngram_range}). Cut it into several texts."
                )
            block.append(text)
            size += len(text) + 1
            if size >= limit:
                self._take_sample(block)
                yield block
                block, size = [], 0
        if block:
            self._take_sample(block)
            yield block

    def _take_sample(self, block: Sequence[str]) -> None:
        if self.sample is not None:
            self.sample.add(block)

    def count(self, documents: Sequence[str]) -> TermCounts:
        """Count the terms of a block of documents."""
        if self.unit == "plain":
            return count_terms(self._plain_terms(documents), len(documents))
        text = self._encode(documents)
        if self.unit == "char":
            ngrams = character_ngrams(text, text.starts, text.ends, self.ngram_range, keep_short=False)
            return count_terms(ngrams, len(documents))
        if self.unit == "char_wb":
            words = find_words(text, min_characters=1)
            in_documents = count_terms(word_ngrams(words, (1, 1)), len(documents), in_place=True)
            starts = in_documents.starts - 1  # with the space on either side
            ends = starts + in_documents.lengths + 2
            ngrams = character_ngrams(text, starts, ends, self.ngram_range, keep_short=True)
            return count_through_words(in_documents, count_terms(ngrams, len(starts)))
        return count_terms(word_ngrams(self._words(text, len(documents)), self.ngram_range), len(documents))

    def tokens(self, documents: Sequence[str]) -> Tokens:
        """Return the words of a block of documents in the order of the text (with ngram_range=(1, 1))."""
        if self.unit != "plain":
            return self._words(self._encode(documents), len(documents))
        words = self._plain_terms(documents)
        starts = words.starts[words.first]
        return Tokens(words.hashes, words.checks, words.rows, words.text, starts, words.ends[words.last] - starts)

    def _encode(self, documents: Sequence[str]) -> TextBytes:
        if self.accents is not None:
            documents = strip_accents(documents, self.accents, self.lowercase)
        return encode_documents(documents, self.unit, self.lowercase and self.accents is None)

    def _words(self, text: TextBytes, n_rows: int) -> Tokens:
        tokens = find_words(text, min_characters=2)
        if self.stop_words is not None:
            tokens = tokens.select(find_terms(*self.stop_words, tokens.hashes, tokens.checks) < 0)
        return tokens if self.stem is None else self._stemmed(tokens, n_rows)

    def _stemmed(self, tokens: Tokens, n_rows: int) -> Tokens:
        """Replace each token by its stem, which is computed once for each distinct word."""
        distinct = count_terms(word_ngrams(tokens, (1, 1)), n_rows)
        text, starts, lengths = join_texts(self.stem(decode_terms(distinct.text, distinct.starts, distinct.lengths)))
        hashes, checks = hash_spans(text, starts, lengths)
        word = find_terms(distinct.hashes, distinct.checks, tokens.hashes, tokens.checks)
        return Tokens(hashes[word], checks[word], tokens.rows, text, starts[word], lengths[word])

    def _plain_terms(self, documents: Sequence[str]) -> NGrams:
        """Call the analyzer for each document, and hash each distinct term once."""
        places: dict[str, int] = {}
        counts, occurrences = [], []
        for document in documents:
            terms = self.analyze(document)
            occurrences.extend([places.setdefault(term, len(places)) for term in terms])
            counts.append(len(occurrences))
        text, starts, lengths = join_texts(list(places))
        hashes, checks = hash_spans(text, starts, lengths)
        term = np.array(occurrences, np.intp)
        rows = np.repeat(np.arange(len(counts), dtype=np.int32), np.diff(counts, prepend=0))
        return NGrams(hashes[term], checks[term], rows, text, starts, starts + lengths, term, term)


def join_texts(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the UTF-8 bytes of the texts with a space after each, and their starts and lengths."""
    encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
    lengths = np.array([len(text) for text in encoded], np.int64)
    joined = np.frombuffer(b" ".join([*encoded, b""]), np.uint8)
    return pad(joined), np.cumsum(lengths + 1) - (lengths + 1), lengths


_analyzers: DerivedValues[Analyzer] = DerivedValues()  # not on the encoder: the user's functions need not pickle


def find_analyzer(encoder, renew: bool = False) -> Analyzer:
    """Return the analyzer of an encoder, kept from the last call unless a parameter has changed or `renew` is true."""
    parameters = [getattr(encoder, name) for name in _ANALYZER_PARAMETERS]
    if renew:
        _analyzers.forget(encoder)
    return _analyzers.get(encoder, parameters, lambda: make_analyzer(encoder))


def make_analyzer(encoder) -> Analyzer:
    """Return the analyzer that the text parameters of an encoder describe; they are those of :class:`TfidfEncoder`."""
    vectorizer = make_vectorizer(encoder)
    unit = choose_unit(encoder)
    stem = _make_stemmer(encoder.stemmer)
    if stem is not None and encoder.analyzer != "word":
        raise ValueError(f"The 'stemmer' parameter needs analyzer='word'. Got analyzer={encoder.analyzer!r}.")
    stop_words = None
    if unit == "word" and encoder.stop_words is not None:
        hashes, checks = hash_strings(sorted(vectorizer.get_stop_words()) or [""], by_word=False)
        order = np.lexsort((checks, hashes))
        stop_words = hashes[order], checks[order]
    return Analyzer(
        unit=unit,
        lowercase=bool(encoder.lowercase),
        accents=encoder.strip_accents if unit != "plain" else None,
        ngram_range=tuple(encoder.ngram_range),
        stop_words=stop_words,
        stem=stem,
        analyze=vectorizer.build_analyzer() if stem is None else _stemming_analyzer(vectorizer, stem),
        vectorizer=vectorizer,
        holds_text=encoder.input == "content",
    )


def make_vectorizer(encoder) -> CountVectorizer:
    """Return scikit-learn's vectorizer with the encoder's parameters, whose results are checked."""
    vectorizer = CountVectorizer()
    names = vectorizer.get_params()
    parameters = {name: value for name, value in encoder.get_params(deep=False).items() if name in names}
    vectorizer.set_params(**_guard_functions(parameters))
    skip_check_of_stop_words(vectorizer)  # `warn_for_parameters` checks them, once
    return vectorizer


def _guard_functions(parameters: dict) -> dict:
    """Return the parameters with every function of the user in a wrapper that checks its results.

    Analyzers and tokenizers may return any iterable of str, such as a generator: the wrapper returns a list. Wrappers
    can be pickled where the functions can.
    """
    wrappers = {"analyzer": _list_terms, "tokenizer": _list_terms}
    if parameters.get("tokenizer") is None:  # the user's tokenizer may take whatever the user's preprocessor returns
        wrappers |= {"preprocessor": _make_text, "strip_accents": _make_text}
    return {
        name: partial(wrappers[name], function=value, name=name) if name in wrappers and callable(value) else value
        for name, value in parameters.items()
    }


def _list_terms(text: object, *, function: Callable[[object], Iterable[str]], name: str) -> list[str]:
    found = function(text)
    try:
        terms = iter(found)
    except TypeError:
        raise TypeError(
            f"The {name!r} must turn a text into a list, or another iterable, of str. "
            f"Got {_describe(found)} for the text {_quote(text)}."
        ) from None
    listed = list(terms)
    for term in listed:
        if not isinstance(term, str):
            raise TypeError(
                f"The {name!r} must return terms that are str. Got {_describe(term)} for the text {_quote(text)}."
            )
    return listed


def _make_text(text: object, *, function: Callable[[object], str], name: str) -> str:
    made = function(text)
    if not isinstance(made, str):
        raise TypeError(f"The {name!r} must turn a text into a str. Got {_describe(made)} for the text {_quote(text)}.")
    return made


def _describe(value: object) -> str:
    return f"{_quote(value)} ({type(value).__name__})"


def _quote(value: object) -> str:
    quoted = repr(value)
    return quoted if len(quoted) <= _SHOWN else f"{quoted[:_SHOWN]}..."


def choose_unit(encoder) -> str:
    """Return the unit of :class:`Analyzer` for an encoder's parameters."""
    if (
        callable(encoder.analyzer)
        or encoder.preprocessor is not None
        or callable(encoder.strip_accents)
        or encoder.ngram_range[0] < 1
    ):
        return "plain"
    pattern = encoder.token_pattern
    has_default_pattern = isinstance(pattern, str) and pattern == DEFAULT_TOKEN_PATTERN  # a file may hold any value
    if encoder.analyzer == "word" and (encoder.tokenizer is not None or not has_default_pattern):
        return "plain"
    return encoder.analyzer


class _Stemmer:
    """Finds the stem of each distinct word once; `stem` turns a list of words into their stems."""

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


def _make_stemmer(stemmer) -> _Stemmer | None:
    """Return the stemmer for a language or for a function from a word to its stem; None for None."""
    if stemmer is None:
        return None
    if callable(stemmer):
        return _Stemmer(lambda words: [stemmer(word) for word in words])
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
        with lock:  # the cache of a Stemmer is not thread-safe
            return snowball.stemWords(words)

    return _Stemmer(stem)


def _stemming_analyzer(vectorizer: CountVectorizer, stemmer: _Stemmer) -> Callable[[str], list[str]]:
    """Return a function from one document to the n-grams of its stems."""
    preprocess, tokenize = vectorizer.build_preprocessor(), vectorizer.build_tokenizer()
    stop_words = vectorizer.get_stop_words() or ()
    lowest, highest = vectorizer.ngram_range

    def analyze(document: str) -> list[str]:
        words = [word for word in tokenize(preprocess(vectorizer.decode(document))) if word not in stop_words]
        stems = stemmer(words)
        return [
            " ".join(stems[first : first + n])
            for n in range(lowest, highest + 1)
            for first in range(len(stems) - n + 1)
        ]

    return analyze
