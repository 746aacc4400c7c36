"""Word vectors from files and other packages."""

import os
import warnings

import numpy as np

from transferkit._algorithms.text.term_statistics import TermStatistics
from transferkit._validation import check_count, count_inner_frames
from transferkit.encoders.text._analyzer import index_given_vocabulary, make_analyzer
from transferkit.encoders.text._counting import check_documents
from transferkit.exceptions import ModelFileError
from transferkit.persistence import read_vectors

_SAMPLED = 1000  # words that are looked at
_REMEDY = (
    "Set token_pattern=r'\\S+' if spaces separate the words of texts, else tokenizer=... to a function that splits "
    "a text into such words; and check strip_accents and stemmer."
)


class WordSourcesMixin:
    """Makes fitted encoders of word vectors that others have trained."""

    @classmethod
    def from_file(cls, path, *, restrict_to=None, limit=None, encoding="utf-8", errors="strict", **parameters):
        """Return an encoder with the word vectors of a file.

        Parameters
        ----------
        path : str or path
            word2vec (text or binary), GloVe (text) or fastText (``.vec``), plain or gzip-compressed.
        restrict_to : iterable of str, default=None
            Words, or texts whose words are meant: only their vectors are read. The file is streamed, so
            memory is needed for these alone.
        limit : int, default=None
            Read only that many words from the beginning of the file, which are the most frequent ones, whether
            `restrict_to` names them or not; None reads all.
        encoding : str, default="utf-8"
            Encoding of the words, such as "latin-1". A byte order mark of UTF-8 is left out in any case.
        errors : {'strict', 'replace', 'ignore', 'skip'}, default='strict'
            What to do about bytes of a word that are not of that encoding: raise an error; put U+FFFD in place of them;
            leave these bytes out; or leave out the word. 'skip' also leaves out all other lines (of a binary file,
            words) that cannot be read, such as those with too few numbers, and accepts a header with a wrong number of
            words, so that a file that was cut off can be used. The first line must say how long vectors are.
        **parameters : any
            Parameters of the encoder, such as `pooling` or ``lowercase=False`` for vectors of cased words.

        Returns
        -------
        encoder : WordVectorEncoder
            A fitted encoder.

        Raises
        ------
        ValueError
            If a line is malformed (its number is named), no word of `restrict_to` is in the file, or there is no such
            encoding.

        Warns
        -----
        UserWarning
            If 'skip' left something out, with the number of lines and the first problem; if a word occurs again, and
            its first vector is kept (words may become equal by 'replace' and 'ignore').
            If texts of most of the words are split into other tokens, so that they cannot be found: words of one letter
            or with combining marks, for example. Set `token_pattern` or `tokenizer` then.

        Notes
        -----
        Such files hold no counts, but list words from the most to the least frequent. Until :meth:`adapt_idf` is
        called, the share of the word in rank r is therefore taken to be in proportion to 1 / r
        (Zipf's law), and its `idf_` to be 1 + log(r).
        """
        if limit is not None:
            check_count("limit", limit, "from_file", least=1)
        reading = {"limit": limit, "encoding": encoding, "errors": errors}
        encoder = cls(**parameters)
        encoder._validate_params()
        if restrict_to is None:
            return encoder._take_vectors(*_with_zipf_shares(read_vectors(path, **reading)))
        texts = _take_texts(restrict_to)
        wanted = encoder._wanted_words(texts)
        try:
            read = read_vectors(path, wanted, **reading)
        except ModelFileError as error:
            encoder._explain_missing_words(path, reading, texts, wanted, error)
            raise
        return encoder._take_vectors(*_with_zipf_shares(read))

    @classmethod
    def from_gensim(cls, keyed_vectors, **parameters):
        """Return an encoder with the word vectors of gensim.

        Parameters
        ----------
        keyed_vectors : gensim.models.KeyedVectors
            Vectors, such as the `wv` of a Word2Vec model. They are copied.
        **parameters : any
            Parameters of the encoder.

        Returns
        -------
        encoder : WordVectorEncoder
            A fitted encoder. Shares of words come from gensim's counts where it has them, and are otherwise those of
            :meth:`from_file`: counts of n, n - 1, ..., 1, which gensim makes up for vectors from a file, are none.
        """
        encoder = cls(**parameters)
        encoder._validate_params()
        keyed_vectors = getattr(keyed_vectors, "wv", keyed_vectors)
        words = list(keyed_vectors.index_to_key)
        shares = _shares_of_counts(keyed_vectors.expandos.get("count"), len(words))
        return encoder._take_vectors(words, np.array(keyed_vectors.vectors, np.float32), shares)

    def _wanted_words(self, texts):
        analyze = make_analyzer(self._make_words()).analyze
        return {word for text in texts for word in [text, *analyze(text)]}

    def _explain_missing_words(self, path, reading, texts, wanted, error):
        """Raise ValueError if the words of texts are in a file, and only the tokens of these texts are not."""
        others = {piece for text in texts for piece in [*text.split(), *text]} - wanted
        try:
            with warnings.catch_warnings(action="ignore"):
                found = read_vectors(path, others, **reading)[0] if others else []
        except ModelFileError:
            return
        if found:
            raise ValueError(
                f"Words of restrict_to are in {os.fspath(path)!r}, {found[0]!r} for example, but the tokens of its "
                f"texts are not. {_REMEDY}"
            ) from error

    def _take_vectors(self, words, vectors, shares):
        """Become an encoder with these vectors, and words of shares in proportion to those given."""
        self._warn_of_words_no_text_gives(words)
        terms, rows = index_given_vocabulary(words, make_analyzer(self._make_words()))
        frequency = shares / shares.sum()
        idf = (1 + np.log(shares.max() / np.maximum(shares, np.finfo(np.float64).tiny))).astype(np.float32)
        encoder_of_words = self._make_words().set_terms(TermStatistics(terms, 0), rows)
        self.n_components = vectors.shape[1]
        described = self._describe(encoder_of_words, vectors, frequency, idf)
        vars(self).update(described, _losses=[], _counts=None, _keeps_counts=False)
        return self

    def _warn_of_words_no_text_gives(self, words):
        """Warn when most of the first words, which are the most frequent ones, are not found in a text of them."""
        analyze = make_analyzer(self._make_words().set_params(stop_words=None)).analyze
        first = words[:_SAMPLED]
        lost = [word for word in first if [token.lower() for token in analyze(word)] != [word.lower()]]
        if len(lost) > len(first) / 2:
            examples = ", ".join(map(repr, lost[:3]))
            warnings.warn(
                f"{len(lost)} of the first {len(first)} words cannot be found in texts, because they are split into "
                f"other tokens: {examples}. {_REMEDY}",
                UserWarning,
                stacklevel=count_inner_frames(),
            )


def _take_texts(restrict_to):
    given = list(restrict_to) if isinstance(restrict_to, (dict, set, frozenset)) else restrict_to
    return list(check_documents(given, (str,)))


def _with_zipf_shares(read):
    words, ranks, vectors = read
    return words, vectors, 1.0 / ranks


def _shares_of_counts(counts, n_words):
    """Return what words' shares are in proportion to: gensim's counts if it has real ones, else Zipf's law."""
    counts = np.empty(0) if counts is None else np.asarray(counts, np.float64)
    ranks = np.arange(1, n_words + 1)
    if len(counts) != n_words or not (counts > 0).all() or np.array_equal(counts, ranks[::-1]):
        return 1.0 / ranks
    return counts
