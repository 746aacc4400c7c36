"""From documents to counted terms, as the parameters of a text encoder say."""

import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from sklearn.feature_extraction.text import CountVectorizer

from transferkit._algorithms.text.hashing import hash_spans, hash_strings
from transferkit._algorithms.text.term_counts import TermCounts, count_terms, count_through_words
from transferkit._algorithms.text.text_bytes import TextBytes, encode_documents, strip_accents
from transferkit._algorithms.text.tokens import NGrams, Tokens, character_ngrams, find_words, pad, word_ngrams
from transferkit._algorithms.text.vocabulary import Vocabulary, decode_terms, find_terms
from transferkit._validation import count_inner_frames, skip_check_of_stop_words, warn_for_unused_text_parameters
from transferkit.encoders._user_functions import guard_functions
from transferkit.encoders.text._stems import Stems, make_stems, stemming_analyzer

DEFAULT_TOKEN_PATTERN = r"(?u)\b\w\w+\b"
# Characters in a block: its arrays should fit into the cache, and still be worth the calls.
_BLOCK_SIZE = {"word": 1 << 18, "char": 1 << 17, "char_wb": 1 << 21, "plain": 1 << 20}
# Bytes and n-grams of one text. Arrays number those of a block in four bytes, and other texts of it need as much again.
_MOST_POSITIONS = 1 << 30
_MOST_BYTES = 4  # of a character
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


@dataclass
class TextAnalysis:
    """One way to turn documents into terms.

    `unit` is 'word', 'char_wb' or 'char' where arrays do the work, and 'plain' where the user's functions or
    pattern have to be called for each document; `analyze` gives the terms of one document in any case.
    `holds_text` is False where documents are files. `sample` takes some of the texts that are split, for what is to be
    said about them.
    """

    unit: str
    lowercase: bool
    accents: str | None
    ngram_range: tuple[int, int]
    stop_words: tuple[np.ndarray, np.ndarray] | None
    stems: Stems | None
    analyze: Callable[[str], Sequence[str]]
    decode: Callable[[object], str]
    holds_text: bool
    sample: TextSample | None = None

    @property
    def by_word(self) -> bool:
        """Whether a term is hashed word by word."""
        return self.unit == "word"

    def hash_terms(self, terms: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Return the hashes under which :meth:`count` finds the terms."""
        return hash_strings(terms, self.by_word)

    def split(self, documents: Iterable[object]) -> Iterator[list[str]]:
        """Decode the documents and yield them in blocks."""
        block: list[str] = []
        size, limit = 0, _BLOCK_SIZE[self.unit]
        n_sizes = self.ngram_range[1] - self.ngram_range[0] + 1
        for position, document in enumerate(documents):
            text = document if self.holds_text and type(document) is str else self.decode(document)
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

    def with_texts(self) -> "TextAnalysis":
        """Return the same analysis for documents that have been read and decoded."""
        return replace(self, holds_text=True)

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
        return tokens if self.stems is None else self._stemmed(tokens, n_rows)

    def _stemmed(self, tokens: Tokens, n_rows: int) -> Tokens:
        """Replace each token by its stem, which is asked for once for each distinct word."""
        distinct = count_terms(word_ngrams(tokens, (1, 1)), n_rows)
        text, starts, lengths = _join_texts(self.stems(decode_terms(distinct.text, distinct.starts, distinct.lengths)))
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
        text, starts, lengths = _join_texts(list(places))
        hashes, checks = hash_spans(text, starts, lengths)
        term = np.array(occurrences, np.intp)
        rows = np.repeat(np.arange(len(counts), dtype=np.int32), np.diff(counts, prepend=0))
        return NGrams(hashes[term], checks[term], rows, text, starts, starts + lengths, term, term)


def _join_texts(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the UTF-8 bytes of the texts, a space after each, and where they start and how long they are."""
    encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
    lengths = np.array([len(text) for text in encoded], np.int64)
    joined = np.frombuffer(b" ".join([*encoded, b""]), np.uint8)
    return pad(joined), np.cumsum(lengths + 1) - (lengths + 1), lengths


def make_analysis(encoder) -> TextAnalysis:
    """Return the analysis that an encoder's parameters describe.

    Parameters
    ----------
    encoder : estimator
        Anything with the text parameters of :class:`TfidfEncoder`.

    Returns
    -------
    analysis : TextAnalysis
        The analysis.
    """
    vectorizer = make_vectorizer(encoder)
    unit = choose_unit(encoder)
    stems = make_stems(encoder.stemmer)
    if stems is not None and encoder.analyzer != "word":
        raise ValueError(f"The 'stemmer' parameter needs analyzer='word'. Got analyzer={encoder.analyzer!r}.")
    stop_words = None
    if unit == "word" and encoder.stop_words is not None:
        hashes, checks = hash_strings(sorted(vectorizer.get_stop_words()) or [""], by_word=False)
        order = np.lexsort((checks, hashes))
        stop_words = hashes[order], checks[order]
    analyze = vectorizer.build_analyzer()
    return TextAnalysis(
        unit=unit,
        lowercase=bool(encoder.lowercase),
        accents=encoder.strip_accents if unit != "plain" else None,
        ngram_range=tuple(encoder.ngram_range),
        stop_words=stop_words,
        stems=stems,
        analyze=analyze if stems is None else stemming_analyzer(vectorizer, stems),
        decode=vectorizer.decode,
        holds_text=encoder.input == "content",
    )


def sort_given_vocabulary(vocabulary, analysis: TextAnalysis, lowercase: bool) -> tuple[Vocabulary, np.ndarray]:
    """Return terms given by the user, not counted yet, and their columns.

    Parameters
    ----------
    vocabulary : mapping of str to int, or iterable of str
        Terms, with their columns or in the order of columns; the terms of a set are sorted.
    analysis : TextAnalysis
        Decides how terms are hashed.
    lowercase : bool
        Whether documents will be lowercased, so that terms with capitals cannot occur.

    Returns
    -------
    terms : Vocabulary
        The terms in ascending order of hash, then check, with frequencies of zero.
    columns : ndarray of int32 of shape (n_terms,)
        Column of each.
    """
    if isinstance(vocabulary, (set, frozenset)):
        vocabulary = sorted(vocabulary)
    if isinstance(vocabulary, Mapping):
        names, columns = list(vocabulary), np.array(list(vocabulary.values()), np.int64)
        if not np.array_equal(np.sort(columns), np.arange(len(names))):
            raise ValueError(f"The columns in 'vocabulary' must be 0 to {len(names) - 1}, each once.")
    else:
        names = list(vocabulary)
        columns = np.arange(len(names))
        if len(set(names)) != len(names):
            raise ValueError(f"Duplicate term in vocabulary: {Counter(names).most_common(1)[0][0]!r}")
    if not names:
        raise ValueError("empty vocabulary passed to fit")
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"The terms in 'vocabulary' must be str. Got {name!r} ({type(name).__name__}).")
    if lowercase and any(map(str.isupper, "".join(names))):
        warnings.warn(
            "Upper case characters found in vocabulary while 'lowercase' is True. These entries will not be "
            "matched with any documents",
            UserWarning,
            stacklevel=2,
        )
    hashes, checks = analysis.hash_terms(names)
    order = np.lexsort((checks, hashes))
    text, starts, lengths = _join_texts(names)
    zeros = np.zeros(len(names), np.int64)
    terms = Vocabulary(hashes, checks, zeros, zeros, text, starts, lengths.astype(np.int32))
    return terms.select(order), columns[order].astype(np.int32)


def warn_for_device(encoder) -> None:
    """Warn that an encoder's `device` has no effect; None, its default until 0.1, is in models saved before."""
    if encoder.device not in ("deprecated", None):
        warnings.warn(
            f"The 'device' parameter of {type(encoder).__name__} has no effect and will be removed: texts are counted "
            f"on the CPU. Got device={encoder.device!r}. Leave it out, and set n_jobs to use more cores.",
            FutureWarning,
            stacklevel=count_inner_frames(),
        )


def warn_for_parameters(encoder) -> None:
    """Warn when parameters shut each other out, as scikit-learn does, or the tokenizer changes stop words."""
    vectorizer = make_vectorizer(encoder)
    warn_for_unused_text_parameters(vectorizer)
    stop_words = vectorizer.get_stop_words() if encoder.analyzer == "word" else None
    if not stop_words:
        return
    preprocess, tokenize = vectorizer.build_preprocessor(), vectorizer.build_tokenizer()
    try:
        made = {token for word in stop_words for token in tokenize(preprocess(word))}
    except Exception:  # the user's functions may be made for whole texts
        return
    if missing := sorted(made - set(stop_words)):
        warnings.warn(
            "Some stop words stay in the texts: the preprocessor and tokenizer turn them into words that are not in "
            f"'stop_words', such as {missing[:5]}. Add these, or give stop words as the tokenizer returns them.",
            UserWarning,
            stacklevel=5,
        )


def make_vectorizer(encoder) -> CountVectorizer:
    """Return a vectorizer of scikit-learn with the encoder's parameters, for the functions that it builds."""
    vectorizer = CountVectorizer()
    names = vectorizer.get_params()
    parameters = {name: value for name, value in encoder.get_params(deep=False).items() if name in names}
    vectorizer.set_params(**guard_functions(parameters))
    skip_check_of_stop_words(vectorizer)  # `fit` checks them, once
    return vectorizer


def choose_unit(encoder) -> str:
    if (
        callable(encoder.analyzer)
        or encoder.preprocessor is not None
        or callable(encoder.strip_accents)
        or encoder.ngram_range[0] < 1
    ):
        return "plain"
    if encoder.analyzer == "word" and (encoder.tokenizer is not None or encoder.token_pattern != DEFAULT_TOKEN_PATTERN):
        return "plain"
    return encoder.analyzer
