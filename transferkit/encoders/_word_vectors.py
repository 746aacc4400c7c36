"""Word vectors, trained on unlabelled text or loaded, and pooled to one row a text."""

from copy import copy
from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_random_state

from transferkit._algorithms.cooccurrence import MAX_WINDOW, both_directions
from transferkit._algorithms.eigenvectors import leading_eigenvectors
from transferkit._algorithms.pooling import (
    common_direction,
    max_rows,
    mean_rows,
    rotation_onto,
    smooth_inverse_frequency,
    unit_rows,
)
from transferkit._algorithms.ppmi import positive_pmi
from transferkit._algorithms.tfidf import inverse_document_frequency
from transferkit._algorithms.vocabulary import Vocabulary, find_terms
from transferkit._validation import Interval, StrOptions, check_is_fitted, fit_context, is_fitted
from transferkit.encoders._fine_tuning import LinearLayer, Network, UnitRowsLayer, share_rows
from transferkit.encoders._term_projection import TermProjection
from transferkit.encoders._text_analysis import make_analysis, sort_given_vocabulary, warn_for_unused
from transferkit.encoders._text_blocks import check_documents, count_given_terms, threaded_map
from transferkit.encoders._tfidf import TEXT_PARAMETER_CONSTRAINTS, TfidfEncoder
from transferkit.encoders._word_counts import WordCounts
from transferkit.encoders._word_queries import WordQueriesMixin
from transferkit.persistence import read_vectors

_TEXT_PARAMETERS = (
    "strip_accents",
    "lowercase",
    "preprocessor",
    "tokenizer",
    "stop_words",
    "token_pattern",
    "stemmer",
    "n_jobs",
)


class WordVectorEncoder(WordQueriesMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Encode texts by the vectors of their words, trained on unlabelled text or loaded from a file.

    Words that stand in the same company get similar vectors, so a classifier that has seen one of them
    labelled knows something about the others. A text's row is pooled from the vectors of its words.

    Parameters
    ----------
    n_components : int, default=300
        Length of a word's vector; when fewer words are kept, as many as there are.
    window : int, default=5
        Words at most that many tokens apart count as company, neighbours `window` times as much as the farthest. At
        most 255.
    min_count : int, default=5
        Leave out words that occur less often.
    max_features : int, default=None
        Keep only that many words, the most frequent ones.
    pooling : {'mean', 'tfidf', 'sif', 'max', 'mean+max'}, default='tfidf'
        How a text's row is made of its words' vectors: their mean; their mean weighed by inverse document
        frequency; their mean weighed by smooth inverse frequency, less the direction common to all texts;
        the largest value of each component; or mean and largest side by side (twice the columns).
    norm : {'l2'} or None, default='l2'
        Divide each row (with 'mean+max', each half) by its length, or leave it.
    smoothing : float, default=0.75
        Power to which the shares of words are raised when chance is computed; 1 favours rare words more.
    eigenvalue_weight : float, default=0.5
        Power of the singular values that scale the components of word vectors; 0 weighs all alike.
    sif_weight : float, default=1e-3
        A word of share p of all words weighs ``sif_weight / (sif_weight + p)`` with ``pooling='sif'``.
    max_pairs : int, default=100_000_000
        Most pairs of words that are kept while counting (12 to 16 bytes each). When there are more, those
        with the lowest counts go until half are left; up to there counts are exact.
    strip_accents, lowercase, preprocessor, tokenizer, stop_words, token_pattern, stemmer : any
        How texts become words, as in :class:`TfidfEncoder`.
    n_jobs : int, default=None
        Threads that count and multiply. None means 1 unless in a :obj:`joblib.parallel_config` context, -1 all
        cores.
    random_state : int, RandomState instance or None, default=0
        Seed of the start of the eigendecomposition. The default gives the same vectors each time.

    Attributes
    ----------
    vectors_ : ndarray of shape (n_words, n_components), float32
        Word vectors: of unit length where they were trained here, as they are where they were loaded.
    vocabulary_ : dict of str to int
        Row of each word in `vectors_`, most frequent word first.
    frequency_ : ndarray of shape (n_words,), float64
        Share of each word in all words.
    idf_ : ndarray of shape (n_words,), float32
        Inverse document frequency of each word.
    n_documents_ : int
        Number of texts learned from; 0 for loaded vectors.

    See Also
    --------
    TfidfEncoder : A column for each word.
    LSAEncoder : Dense rows from the company of words within whole texts.
    PretrainedEncoder : A fitted encoder that keeps its state and encodes each text once.

    Notes
    -----
    One pass counts how often words stand near each other; the symmetric matrix of positive pointwise mutual
    information (chance smoothed as in [1]_) is decomposed into its leading singular vectors U diag(s) V', and
    word vectors are the rows of U diag(s ** eigenvalue_weight), of unit length. This factorises the same
    quantity as skip-gram with negative sampling does by stochastic steps [2]_, exactly and in much less time.

    Counts add up: `partial_fit` and `merge` give what `fit` gives on all texts at once, as long as `max_pairs` is not
    reached. Memory grows with the words and pairs met and not with the corpus; the decomposition needs about
    ``17 * n_words * n_components`` bytes on top. It runs when the vectors are next asked for.

    The counts stay in memory, but an encoder fitted with `fit` is pickled and saved without them: after loading it
    encodes as before and cannot learn on. Use `partial_fit` where that is wanted.

    The defaults of `smoothing` and `eigenvalue_weight` are those recommended in [1]_ and were checked on the
    word similarity sets of this project's benchmark.

    References
    ----------
    .. [1] O. Levy, Y. Goldberg, I. Dagan (2015). Improving distributional similarity with lessons
       learned from word embeddings. TACL 3, 211-225.
    .. [2] O. Levy, Y. Goldberg (2014). Neural word embedding as implicit matrix factorization. NeurIPS 27.
    .. [3] S. Arora, Y. Liang, T. Ma (2017). A simple but tough-to-beat baseline for sentence
       embeddings. ICLR.

    Examples
    --------
    >>> from transferkit import WordVectorEncoder
    >>> texts = ["my cat drinks milk", "my dog drinks milk", "the cat eats fish", "the dog eats fish"]
    >>> encoder = WordVectorEncoder(n_components=4, min_count=1).fit(texts)
    >>> encoder.most_similar("cat", n=1)
    [('dog', 1.0)]
    >>> encoder.transform(["a cat", "an unheard word"]).shape
    (2, 4)
    """

    _parameter_constraints: dict = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "window": [Interval(Integral, 1, MAX_WINDOW, closed="both")],
        "min_count": [Interval(Integral, 1, None, closed="left")],
        "max_features": [Interval(Integral, 1, None, closed="left"), None],
        "pooling": [StrOptions({"mean", "tfidf", "sif", "max", "mean+max"})],
        "norm": [StrOptions({"l2"}), None],
        "smoothing": [Interval(Real, 0, 1, closed="both")],
        "eigenvalue_weight": [Interval(Real, 0, 1, closed="both")],
        "sif_weight": [Interval(Real, 0, None, closed="neither")],
        "max_pairs": [Interval(Integral, 1000, None, closed="left")],
        **{name: TEXT_PARAMETER_CONSTRAINTS[name] for name in _TEXT_PARAMETERS},
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        n_components=300,
        *,
        window=5,
        min_count=5,
        max_features=None,
        pooling="tfidf",
        norm="l2",
        smoothing=0.75,
        eigenvalue_weight=0.5,
        sif_weight=1e-3,
        max_pairs=100_000_000,
        strip_accents=None,
        lowercase=True,
        preprocessor=None,
        tokenizer=None,
        stop_words=None,
        token_pattern=r"(?u)\b\w\w+\b",
        stemmer=None,
        n_jobs=None,
        random_state=0,
    ):
        self.n_components = n_components
        self.window = window
        self.min_count = min_count
        self.max_features = max_features
        self.pooling = pooling
        self.norm = norm
        self.smoothing = smoothing
        self.eigenvalue_weight = eigenvalue_weight
        self.sif_weight = sif_weight
        self.max_pairs = max_pairs
        self.strip_accents = strip_accents
        self.lowercase = lowercase
        self.preprocessor = preprocessor
        self.tokenizer = tokenizer
        self.stop_words = stop_words
        self.token_pattern = token_pattern
        self.stemmer = stemmer
        self.n_jobs = n_jobs
        self.random_state = random_state

    @classmethod
    def from_file(cls, path, *, restrict_to=None, **parameters):
        """Return an encoder with the word vectors of a file.

        Parameters
        ----------
        path : str or path
            word2vec (text or binary), GloVe (text) or fastText (``.vec``), plain or gzip-compressed.
        restrict_to : iterable of str, default=None
            Words, or texts whose words are meant: only their vectors are read. The file is streamed, so
            memory is needed for these alone.
        **parameters : any
            Parameters of the encoder, such as `pooling` or ``lowercase=False`` for vectors of cased words.

        Returns
        -------
        encoder : WordVectorEncoder
            A fitted encoder.

        Raises
        ------
        ValueError
            If a line is malformed (its number is named), or no word of `restrict_to` is in the file.

        Notes
        -----
        Such files hold no counts, but list words from the most to the least frequent. Until :meth:`adapt_idf` is
        called, the share of the word in rank r is therefore taken to be in proportion to 1 / r
        (Zipf's law), and its `idf_` to be 1 + log(r).
        """
        encoder = cls(**parameters)
        encoder._validate_params()
        words, ranks, vectors = read_vectors(path, encoder._wanted_words(restrict_to))
        return encoder._take_vectors(words, vectors, 1.0 / ranks)

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
            :meth:`from_file`.
        """
        encoder = cls(**parameters)
        encoder._validate_params()
        keyed_vectors = getattr(keyed_vectors, "wv", keyed_vectors)
        words = list(keyed_vectors.index_to_key)
        if "count" in keyed_vectors.expandos:
            shares = np.asarray(keyed_vectors.expandos["count"], np.float64)
        else:
            shares = 1.0 / np.arange(1, len(words) + 1)
        return encoder._take_vectors(words, np.array(keyed_vectors.vectors, np.float32), shares)

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Learn word vectors from unlabelled texts.

        Parameters
        ----------
        X : iterable of str, length n_texts
            Texts: list, NumPy array, pandas or polars Series; a generator is read as it goes and not kept.
        y : None
            Ignored; here for scikit-learn's API.

        Returns
        -------
        self : WordVectorEncoder
            The fitted encoder.

        Raises
        ------
        ValueError
            If no word occurs `min_count` times.
        """
        counts = self._count(WordCounts(), X)
        learned = self._learn(counts)
        vars(self).update(learned, _counts=tuple(counts), _keeps_counts=False)
        return self

    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y=None):
        """Learn from more texts, as if they had been there from the start.

        Parameters
        ----------
        X : iterable of str, length n_texts
            A batch of texts: list, NumPy array, generator, pandas or polars Series.
        y : None
            Ignored; here for scikit-learn's API.

        Returns
        -------
        self : WordVectorEncoder
            The encoder. Vectors are computed when they are next asked for, and :meth:`adapt_idf` is undone.

        Raises
        ------
        ValueError
            If the encoder holds no counts: its vectors were loaded, or it was fitted with `fit` and then loaded.
        """
        counts = self._count(self._known_counts() if is_fitted(self) else WordCounts(), X)
        vars(self).update(_counts=tuple(counts), _keeps_counts=True, _is_stale=True)
        return self

    def merge(self, other):
        """Take over what another encoder has counted, as if its texts had been seen here.

        Parameters
        ----------
        other : WordVectorEncoder
            A fitted encoder with the same parameters; it stays as it is.

        Returns
        -------
        self : WordVectorEncoder
            The encoder; it equals one fitted on the texts of both, in any order.

        Raises
        ------
        ValueError
            If the parameters differ, or one of the two holds no counts.
        """
        check_is_fitted(self)
        if not isinstance(other, WordVectorEncoder):
            raise TypeError(f"Only another WordVectorEncoder can be merged. Got {type(other).__name__}.")
        check_is_fitted(other)
        mine, theirs = self.get_params(), other.get_params()
        different = [name for name in mine if name != "n_jobs" and mine[name] != theirs[name]]
        if different:
            raise ValueError(f"Encoders can be merged only if their parameters agree. These differ: {different}.")
        counts = self._known_counts().merge(other._known_counts(), self.max_pairs, self.n_jobs)
        vars(self).update(_counts=tuple(counts), _keeps_counts=True, _is_stale=True)
        return self

    @fit_context(prefer_skip_nested_validation=True)
    def continue_fit(self, X, y=None, *, weight=1):
        """Learn on from a domain's own texts, in the coordinates that the vectors have.

        Words that become frequent enough join. The new vectors are rotated onto the old ones (if these are as long), so
        that what was trained on the old ones (a classifier on pooled rows) keeps its meaning as far as the words
        kept theirs.

        Parameters
        ----------
        X : iterable of str, length n_texts
            Texts of the domain.
        y : None
            Ignored; here for scikit-learn's API.
        weight : int, default=1
            How often the texts are counted, as if they had been given that many times: more than once lets a small
            domain speak up against a large corpus.

        Returns
        -------
        self : WordVectorEncoder
            The encoder. Up to the rotation it equals one fitted on all texts; :meth:`adapt_idf` is undone.

        Raises
        ------
        ValueError
            If `weight` is no positive int, or the encoder holds no counts: its vectors were loaded, or it was fitted
            with `fit` and then loaded.

        References
        ----------
        .. [1] P. Schönemann (1966). A generalized solution of the orthogonal Procrustes problem.
           Psychometrika 31 (1), 1-10.
        """
        check_is_fitted(self)
        if not isinstance(weight, Integral) or weight < 1:
            raise ValueError(f"The 'weight' of continue_fit must be an int of at least 1. Got {weight!r} instead.")
        self._settle()
        known = self._known_counts()
        counts = known.merge(self._count(WordCounts(), X).times(int(weight)), self.max_pairs, self.n_jobs)
        learned = self._learn(counts)
        before, now = self._words._terms(), learned["_words"]._terms()
        places = find_terms(now.hashes, now.checks, before.hashes, before.checks)
        shared = places >= 0
        old = self._vectors[self._words._columns[shared]]
        new = learned["_vectors"][learned["_words"]._columns[places[shared]]]
        if old.shape[1] == new.shape[1]:
            rotation = rotation_onto(new, old)
            learned["_vectors"] = learned["_vectors"] @ rotation
            learned["_common"] = learned["_common"] @ rotation
        vars(self).update(learned, _counts=tuple(counts), _keeps_counts=True)
        return self

    def adapt_idf(self, X):
        """Weigh words as they occur in these texts, and leave the vectors as they are.

        Parameters
        ----------
        X : iterable of str, length n_texts
            Texts of a task.

        Returns
        -------
        self : WordVectorEncoder
            The encoder with new `idf_` and `frequency_`, and, for ``pooling='sif'``, a new common direction.
        """
        check_is_fitted(self)
        self._settle()
        documents = list(check_documents(X, (str,)))
        terms = self._words._terms()
        counted, n_documents = count_given_terms(make_analysis(self._words), terms, documents, self.n_jobs)
        order = np.argsort(self._words._columns)
        total = counted.total[order]
        frequency = total / max(total.sum(), 1)
        weights = smooth_inverse_frequency(frequency, self.sif_weight)
        rows = mean_rows(self._words.transform(documents), weights, self._vectors)
        self._idf = inverse_document_frequency(counted.document_frequency[order], n_documents, True, np.float32)
        self._frequency, self._common = frequency, common_direction(rows)
        return self

    def transform(self, X):
        """Return one row a text, pooled from the vectors of its words.

        Parameters
        ----------
        X : iterable of str, length n_texts
            Texts: list, NumPy array, generator, pandas or polars Series.

        Returns
        -------
        rows : ndarray of shape (n_texts, n_features), float32
            Rows; zeros for a text without a known word.
        """
        check_is_fitted(self)
        self._settle()
        counts = self._words.transform(X)
        parts = [self._pool(counts, pooling) for pooling in self.pooling.split("+")]
        if self.norm is not None:
            parts = [unit_rows(part) for part in parts]
        return parts[0] if len(parts) == 1 else np.hstack(parts)

    @property
    def vectors_(self):
        """Word vectors, shape (n_words, n_components)."""
        check_is_fitted(self)
        self._settle()
        return self._vectors

    @property
    def frequency_(self):
        """Share of each word, shape (n_words,)."""
        check_is_fitted(self)
        self._settle()
        return self._frequency

    @property
    def idf_(self):
        """Inverse document frequency of each word, shape (n_words,)."""
        check_is_fitted(self)
        self._settle()
        return self._idf

    @property
    def vocabulary_(self):
        """Row of each word."""
        check_is_fitted(self)
        self._settle()
        return self._words.vocabulary_

    @property
    def n_documents_(self):
        """Number of texts learned from."""
        check_is_fitted(self)
        return WordCounts(*self._counts).n_documents if self._is_stale else self._words.n_documents_

    def _count(self, counts, X):
        words = self._make_words()
        warn_for_unused(words)
        documents = check_documents(X, (str,))
        return counts.add(make_analysis(words), documents, self.window, self.max_pairs, self.n_jobs)

    def _learn(self, counts):
        """Return the attributes that follow from the counts."""
        terms = Vocabulary(*counts.terms)
        if len(terms.hashes) == 0:
            raise ValueError("empty vocabulary; perhaps the documents only contain stop words")
        chosen = counts.choose(self.min_count, self.max_features)
        if len(chosen) == 0:
            raise ValueError(f"No word occurs min_count={self.min_count} times. Use a lower min_count or more texts.")
        pairs = both_directions(counts.pairs_of(chosen))
        vectors = self._factorise(positive_pmi(pairs, self.smoothing))
        frequency = terms.total[chosen] / terms.total.sum()
        places = np.sort(chosen)
        rows = np.empty(len(chosen), np.int32)
        rows[np.searchsorted(places, chosen)] = np.arange(len(chosen), dtype=np.int32)
        words = self._make_words()._set_terms(terms.select(places), rows, counts.n_documents)
        idf = inverse_document_frequency(terms.document_frequency[chosen], counts.n_documents, True, np.float32)
        return self._describe(words, vectors, frequency, idf)

    def _factorise(self, ppmi):
        run, random_state = threaded_map(self.n_jobs), check_random_state(self.random_state)
        vectors, values = leading_eigenvectors(ppmi, self.n_components, random_state, run)
        sizes = np.abs(values)
        is_zero = sizes <= np.finfo(np.float32).eps * len(sizes) * sizes.max(initial=0)
        return unit_rows(vectors * np.where(is_zero, np.float32(0), sizes**self.eigenvalue_weight).astype(np.float32))

    def _wanted_words(self, restrict_to):
        if restrict_to is None:
            return None
        given = list(restrict_to) if isinstance(restrict_to, (dict, set, frozenset)) else restrict_to
        texts = list(check_documents(given, (str,)))
        analyze = make_analysis(self._make_words()).analyze
        return {word for text in texts for word in [text, *analyze(text)]}

    def _take_vectors(self, words, vectors, shares):
        """Become an encoder with these vectors, and words of shares in proportion to those given."""
        terms, rows = sort_given_vocabulary(words, make_analysis(self._make_words()), self.lowercase)
        frequency = shares / shares.sum()
        idf = (1 + np.log(shares.max() / np.maximum(shares, np.finfo(np.float64).tiny))).astype(np.float32)
        encoder_of_words = self._make_words()._set_terms(terms, rows, 0)
        self.n_components = vectors.shape[1]
        vars(self).update(self._describe(encoder_of_words, vectors, frequency, idf), _counts=None, _keeps_counts=False)
        return self

    def _describe(self, words, vectors, frequency, idf):
        # Texts of independent words agree most along the mean of the weighted vectors.
        mean = (frequency * smooth_inverse_frequency(frequency, self.sif_weight)) @ vectors
        return {
            "_words": words,
            "_vectors": vectors,
            "_lengths": np.linalg.norm(vectors, axis=1),
            "_frequency": frequency,
            "_idf": idf,
            "_common": unit_rows(mean[None])[0].astype(np.float32),
            "_is_stale": False,
        }

    def _settle(self):
        """Compute the vectors, if texts were added since that was last done."""
        if self._is_stale:
            vars(self).update(self._learn(WordCounts(*self._counts)))

    def _pool(self, counts, pooling):
        if pooling == "max":
            return max_rows(counts, self._vectors)
        if pooling == "sif":
            weights = smooth_inverse_frequency(self._frequency, self.sif_weight)
            rows = mean_rows(counts, weights, self._vectors)
            return rows - np.outer(rows @ self._common, self._common)
        return mean_rows(counts, self._idf if pooling == "tfidf" else None, self._vectors)

    def _term_projection(self):
        """Return what carries knowledge from term to term: for strategies that train on the terms themselves."""
        self._settle()
        return TermProjection(self._words, self._vectors, self._idf)

    def _can_fine_tune(self):
        return self.pooling in ("mean", "tfidf")

    def _to_network(self, X):
        """Return the weighted words of texts, whose products with the vectors are pooled rows, and the layers."""
        self._settle()
        rows = share_rows(self._words.transform(X), self._idf if self.pooling == "tfidf" else None)
        return Network(rows, [LinearLayer(self._vectors), *([UnitRowsLayer()] if self.norm == "l2" else [])])

    def _with_layers(self, layers):
        """Return a copy with other vectors."""
        twin = copy(self)
        described = self._describe(self._words, layers[0].weights, self._frequency, self._idf)
        vars(twin).update(described, _counts=None, _keeps_counts=False)
        return twin

    def _make_words(self):
        """Return an encoder of texts as counts of words, not fitted."""
        return TfidfEncoder(norm=None, use_idf=False, **{name: getattr(self, name) for name in _TEXT_PARAMETERS})

    def _known_counts(self):
        if self._counts is None:
            raise ValueError(
                "This WordVectorEncoder holds no counts, so it cannot learn on: its vectors were loaded, or it was "
                "fitted with fit and then pickled or saved. Fit it with partial_fit, which keeps the counts."
            )
        return WordCounts(*self._counts)

    @property
    def _n_features_out(self):
        self._settle()
        return self._vectors.shape[1] * len(self.pooling.split("+"))

    def __sklearn_is_fitted__(self):
        return hasattr(self, "_is_stale")

    def __getstate__(self):
        state = super().__getstate__()
        if not is_fitted(self):
            return state
        self._settle()
        state = super().__getstate__()
        return state if self._keeps_counts else {**state, "_counts": None}

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        tags.transformer_tags.preserves_dtype = []
        return tags
