"""Word vectors, trained on unlabelled text or loaded, and pooled to one row a text."""

import warnings
from copy import copy
from numbers import Integral, Real

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.callback import CallbackSupportMixin

from transferkit._algorithms.linalg.normalisation import unit_rows
from transferkit._algorithms.networks.layers import L2Normalisation, Linear
from transferkit._algorithms.text.term_statistics import TermStatistics
from transferkit._algorithms.text.tfidf import inverse_document_frequency
from transferkit._algorithms.text.vocabulary import Vocabulary
from transferkit._algorithms.words.cooccurrence import MAX_WINDOW, both_directions
from transferkit._algorithms.words.pooling import (
    common_direction,
    mean_rows,
    row_lengths,
    share_rows,
    smooth_inverse_frequency,
    sum_of_rows,
)
from transferkit._progress import FitProgress
from transferkit._validation import (
    Interval,
    StrOptions,
    check_is_fitted,
    count_inner_frames,
    fit_context,
    forget_shards,
    is_fitted,
    unchanged_on_error,
)
from transferkit._versioning import VersionedEstimator
from transferkit.encoders.protocols import LinearForm, TermProjection
from transferkit.encoders.text._analyzer import TextSample, make_analyzer
from transferkit.encoders.text._counting import check_documents, count_given_terms
from transferkit.encoders.text._lost_words import (
    describe_empty_vocabulary,
    warn_of_lost_words,
    warn_of_unknown_texts,
)
from transferkit.encoders.text._parameters import TEXT_PARAMETER_CONSTRAINTS
from transferkit.encoders.text._tfidf import TfidfEncoder
from transferkit.encoders.words._counts import WordCounts
from transferkit.encoders.words._learning import METHODS, learn_vectors
from transferkit.encoders.words._passes import WordPass
from transferkit.encoders.words._pooling import BagOfVectors
from transferkit.encoders.words._queries import WordQueriesMixin
from transferkit.encoders.words._sources import WordSourcesMixin
from transferkit.encoders.words._streaming import WordStreamingMixin
from transferkit.encoders.words._subwords import add_unseen_words, learn_subwords
from transferkit.exceptions import NotLinearError

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


class WordVectorEncoder(
    CallbackSupportMixin,
    WordSourcesMixin,
    WordStreamingMixin,
    WordQueriesMixin,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    VersionedEstimator,
):
    """Encode texts by the vectors of their words, trained on unlabelled text or loaded from a file.

    Words that stand in the same company get similar vectors, so a classifier that has seen one of them
    labelled knows something about the others. A text's row is pooled from the vectors of its words.

    Parameters
    ----------
    n_components : int, default=300
        Length of a word's vector; when fewer words are kept, as many as there are.
    method : {'ppmi-svd', 'glove', 'sgns'}, default='ppmi-svd'
        How counts become vectors: the leading singular vectors of positive pointwise mutual information; weighted
        least squares on the logarithms of counts; or skip-gram with negative sampling. The last two are trained with
        torch, from the vectors of the first.
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
    max_iter : int, default=3
        Epochs of 'glove' and 'sgns'. A small corpus is overfitted by many more.
    learning_rate : float, default=0.02
        Size of the first step of each number, with 'glove' and 'sgns'; later ones are shorter (AdaGrad).
    x_max : float, default=10.0
        With 'glove', pairs that met that many times as next neighbours, or oftener, weigh alike; rarer ones weigh less.
    n_negative : float, default=1.0
        With 'sgns', negative samples for each pair. More of them move all words apart.
    subword : bool, default=False
        Also fit vectors to the character n-grams of the words, so that a word that is not in the vocabulary gets one
        from its spelling, in `transform` and in questions.
    ngram_range : tuple (min_n, max_n), default=(3, 6)
        Lengths of these n-grams, the space on either side of a word counted.
    n_buckets : int, default=65536
        N-grams are hashed into that many buckets, of which those are kept that occur (``4 * n_components`` bytes
        each). With fewer, more n-grams share a vector.
    max_pairs : int, default=100_000_000
        Most pairs of words that are kept while counting (12 to 16 bytes each). When there are more, those with the
        lowest counts are dropped until half as many are left, and they begin at zero if they come again. A hash of the
        two words decides between pairs with equal counts, most of which are of pairs seen once. Counts are exact until
        the bound is reached; after that, they are too low by at most `pair_error_`.
    max_vocabulary : int, default=None
        Most distinct words that are counted, whatever is kept of them in the end. When there are more, those that
        occur the least go until half are left, and their pairs with them; up to there counts are exact.
    strip_accents, lowercase, preprocessor, tokenizer, stop_words, token_pattern, stemmer : any
        How texts become words, as in :class:`TfidfEncoder`.
    n_jobs : int, default=None
        Threads that count and multiply. None means 1 unless in a :obj:`joblib.parallel_config` context, -1 all
        cores.
    device : str, default="auto"
        Where 'glove' and 'sgns' are trained: "auto" (CUDA if there is one, else the CPU), "cpu", "cuda" or "cuda:1".
        With "cuda", 'ppmi-svd' is decomposed there as well; with "auto" it never is, so that its vectors do not depend
        on the machine. Encoding uses NumPy.
    random_state : int, RandomState instance or None, default=0
        Seed of the start of the eigendecomposition and of negative samples. The default gives the same vectors each
        time on a device.

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
    vocabulary_error_ : int
        Number of occurrences by which the count of a word may be too low, and no word that is missing occurs oftener;
        0 unless `max_vocabulary` was reached.
    pair_error_ : int
        Number by which the count of a pair, in which neighbours count `window`, may be too low because of `max_pairs`,
        and no pair that is missing has a higher one; 0 unless it was reached. What `max_vocabulary` drops is not in it.
    n_shards_ : int
        Number of shards learned from, after :func:`transferkit.distributed.fit_sharded` only.
    skipped_shards_ : list of str
        Names of the shards that it left out.
    loss_curve_ : list of float
        The objective of 'glove' or 'sgns' during each epoch, up to terms that do not change; empty for other vectors.

    See Also
    --------
    TfidfEncoder : A column for each word.
    LSAEncoder : Dense rows from the company of words within whole texts.
    PretrainedEncoder : A fitted encoder that keeps its state and encodes each text once.

    Notes
    -----
    One pass counts how often words stand near each other; the symmetric matrix of positive pointwise mutual
    information (PPMI; chance smoothed as in [1]_) is decomposed into its leading singular vectors U diag(s) V', and
    word vectors are the rows of U diag(s ** eigenvalue_weight), of unit length. This factorises the same quantity as
    skip-gram with negative sampling does by stochastic steps [2]_, exactly and in much less time.

    'glove' and 'sgns' begin where that ends, since inner products of U diag(s ** 0.5) are already close to what either
    wants, and then minimise their own objective by AdaGrad: GloVe's sum over all pairs that were counted [4]_ plus a
    small weight on the products of all pairs, which keeps a small corpus from being overfitted; or the expected
    objective of skip-gram with negative sampling over all counts [5]_. An epoch moves each word by its full gradient
    with the contexts held, then each context. Word vectors are the sums of word and context.

    With `subword`, vectors of n-grams are fitted to those of the words by a ridge regression: the mean over a word's
    n-grams shall be its vector [6]_. Known words keep their own. An unseen word weighs as much as the rarest known one.

    Counts add up: `partial_fit` and `merge` give what `fit` gives on all texts at once, as long as `max_pairs` is not
    reached. Memory grows with the words and pairs met and not with the corpus: beyond `max_pairs` the rarest pairs are
    pruned, never spilled to disk, so counting needs about half a gigabyte for the texts at hand and at most some 30
    bytes for each of `max_pairs`. The decomposition takes about ``17 * n_words * n_components`` bytes on top, and
    training ``24 * n_words * n_components``. They run when the vectors are next asked for.

    The counts stay in memory, but an encoder fitted with `fit` is pickled and saved without them: after loading it
    encodes as before and cannot learn on. Use `partial_fit` where that is wanted.

    `set_callbacks` takes scikit-learn's callbacks, such as ``ProgressBar()``: each epoch of `fit` is a task, and a
    callback that asks to stop ends the training there.

    The defaults of `smoothing` and `eigenvalue_weight` are those recommended in [1]_; they, and those of training, were
    checked on the word similarity sets of this project's benchmark.

    References
    ----------
    .. [1] O. Levy, Y. Goldberg, I. Dagan (2015). Improving distributional similarity with lessons
       learned from word embeddings. TACL 3, 211-225.
    .. [2] O. Levy, Y. Goldberg (2014). Neural word embedding as implicit matrix factorization. NeurIPS 27.
    .. [3] S. Arora, Y. Liang, T. Ma (2017). A simple but tough-to-beat baseline for sentence
       embeddings. ICLR.
    .. [4] J. Pennington, R. Socher, C. Manning (2014). GloVe: global vectors for word representation. EMNLP.
    .. [5] T. Mikolov, I. Sutskever, K. Chen, G. Corrado, J. Dean (2013). Distributed representations of words
       and phrases and their compositionality. NeurIPS 26.
    .. [6] J. Zhao, S. Mudgal, Y. Liang (2018). Generalizing word embeddings using bag of subwords. EMNLP.

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

    fitted_attributes = (
        "_common",
        "_counts",
        "_frequency",
        "_idf",
        "_is_stale",
        "_keeps_counts",
        "_lengths",
        "_losses",
        "_ngram_buckets",
        "_ngram_vectors",
        "_pair_error",
        "_vectors",
        "_vocabulary_error",
        "_words",
    )

    _parameter_constraints: dict = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "method": [StrOptions(set(METHODS))],
        "window": [Interval(Integral, 1, MAX_WINDOW, closed="both")],
        "min_count": [Interval(Integral, 1, None, closed="left")],
        "max_features": [Interval(Integral, 1, None, closed="left"), None],
        "pooling": [StrOptions({"mean", "tfidf", "sif", "max", "mean+max"})],
        "norm": [StrOptions({"l2"}), None],
        "smoothing": [Interval(Real, 0, 1, closed="both")],
        "eigenvalue_weight": [Interval(Real, 0, 1, closed="both")],
        "sif_weight": [Interval(Real, 0, None, closed="neither")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "x_max": [Interval(Real, 0, None, closed="neither")],
        "n_negative": [Interval(Real, 0, None, closed="neither")],
        "subword": ["boolean"],
        "ngram_range": [tuple],
        "n_buckets": [Interval(Integral, 1, 2**31 - 1, closed="both")],
        "max_pairs": [Interval(Integral, 1000, None, closed="left")],
        "max_vocabulary": TEXT_PARAMETER_CONSTRAINTS["max_vocabulary"],
        **{name: TEXT_PARAMETER_CONSTRAINTS[name] for name in _TEXT_PARAMETERS},
        "device": [str],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        n_components=300,
        *,
        method="ppmi-svd",
        window=5,
        min_count=5,
        max_features=None,
        pooling="tfidf",
        norm="l2",
        smoothing=0.75,
        eigenvalue_weight=0.5,
        sif_weight=1e-3,
        max_iter=3,
        learning_rate=0.02,
        x_max=10.0,
        n_negative=1.0,
        subword=False,
        ngram_range=(3, 6),
        n_buckets=65536,
        max_pairs=100_000_000,
        max_vocabulary=None,
        strip_accents=None,
        lowercase=True,
        preprocessor=None,
        tokenizer=None,
        stop_words=None,
        token_pattern=r"(?u)\b\w\w+\b",
        stemmer=None,
        n_jobs=None,
        device="auto",
        random_state=0,
    ):
        self.n_components = n_components
        self.method = method
        self.window = window
        self.min_count = min_count
        self.max_features = max_features
        self.pooling = pooling
        self.norm = norm
        self.smoothing = smoothing
        self.eigenvalue_weight = eigenvalue_weight
        self.sif_weight = sif_weight
        self.max_iter = max_iter
        self.learning_rate = learning_rate
        self.x_max = x_max
        self.n_negative = n_negative
        self.subword = subword
        self.ngram_range = ngram_range
        self.n_buckets = n_buckets
        self.max_pairs = max_pairs
        self.max_vocabulary = max_vocabulary
        self.strip_accents = strip_accents
        self.lowercase = lowercase
        self.preprocessor = preprocessor
        self.tokenizer = tokenizer
        self.stop_words = stop_words
        self.token_pattern = token_pattern
        self.stemmer = stemmer
        self.n_jobs = n_jobs
        self.device = device
        self.random_state = random_state

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
        progress = FitProgress(self, 1 if self.method == "ppmi-svd" else self.max_iter, "epoch")
        with unchanged_on_error(self):
            progress.begin(X, y, None)
            counts = self._count(WordCounts(), X, sample := TextSample())
            learned = self._learn(counts, progress.step, sample)
        learned.update(_counts=tuple(counts), _keeps_counts=False)
        vars(self).update(learned)
        forget_shards(self)
        progress.end(learned)
        warn_of_lost_words(self, sample)
        return self

    def fit_transform(self, X, y=None):
        """Learn word vectors from the texts and return their rows.

        Parameters
        ----------
        X : iterable of str, length n_texts
            Texts: list, NumPy array, generator, pandas or polars Series.
        y : None
            Ignored; here for scikit-learn's API.

        Returns
        -------
        rows : ndarray of shape (n_texts, n_features), float32
            Rows.
        """
        texts = list(check_documents(X, (str,)))  # a generator is read once
        return self.fit(texts, y).transform(texts)

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
        terms = self._words.terms_
        counted, n_documents, _ = count_given_terms(
            make_analyzer(self._words), terms.vocabulary, documents, self.n_jobs
        )
        order = np.argsort(terms.columns)
        total = counted.total[order]
        frequency = total / max(total.sum(), 1)
        weights = smooth_inverse_frequency(frequency, self.sif_weight)
        words, n_unknown = self._words.encode(documents)
        warn_of_unknown_texts(self, n_unknown)
        rows = mean_rows(words, weights, self._vectors)
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
            Rows; zeros for a text without a known word (with `subword`, without a known n-gram).
        """
        check_is_fitted(self)
        self._settle()
        documents = list(check_documents(X, (str,))) if self.subword else X
        words, n_unknown = self._words.encode(documents)
        bag = BagOfVectors(words, self._vectors, self._idf, self._frequency)
        if self.subword:
            bag = add_unseen_words(self, documents, bag)
        parts = [bag.pool(pooling, self.sif_weight, self._common) for pooling in self.pooling.split("+")]
        warn_of_unknown_texts(self, n_unknown if not parts[0].any() else 0)  # a spelling may be known
        if self.norm is not None:
            parts = [unit_rows(part) for part in parts]
        return parts[0] if len(parts) == 1 else np.hstack(parts)

    @fit_context(prefer_skip_nested_validation=True)
    def first_pass(self, keep_statistics=False):
        """Return the first pass of a fit to texts in shards.

        Parameters
        ----------
        keep_statistics : bool, default=False
            Whether the fitted encoder keeps the statistics that `partial_fit` and `merge` need.

        Returns
        -------
        first : ShardPass
            What :func:`transferkit.distributed.fit_sharded` runs.
        """
        self._make_words().first_pass()  # checks the parameters of texts
        return WordPass(self, keep_statistics)

    @property
    def n_documents_(self):
        """Number of texts learned from."""
        check_is_fitted(self)
        return WordCounts(*self._counts).n_documents if self._is_stale else self._words.n_documents_

    @property
    def vocabulary_error_(self):
        """Number of occurrences by which the count of a word may be too low."""
        check_is_fitted(self)
        self._settle()
        return getattr(self, "_vocabulary_error", 0)  # which loaded vectors and earlier files lack

    @property
    def pair_error_(self):
        """Number by which the count of a pair may be too low."""
        check_is_fitted(self)
        self._settle()
        return getattr(self, "_pair_error", 0)  # which loaded vectors and earlier files lack

    def _learn(self, counts, on_epoch=lambda read: False, sample=None):
        """Return the attributes that follow from the counts."""
        terms = Vocabulary(*counts.terms)
        if len(terms.hashes) == 0:
            raise ValueError(describe_empty_vocabulary(self, sample))
        chosen = counts.choose(self.min_count, self.max_features)
        if len(chosen) == 0:
            raise ValueError(f"No word occurs min_count={self.min_count} times. Use a lower min_count or more texts.")
        places = np.sort(chosen)
        rows = np.empty(len(chosen), np.int32)
        rows[np.searchsorted(places, chosen)] = np.arange(len(chosen), dtype=np.int32)
        words = self._make_words().set_terms(TermStatistics(terms.select(places), counts.n_documents), rows)
        frequency = terms.total[chosen] / terms.total.sum()
        idf = inverse_document_frequency(terms.document_frequency[chosen], counts.n_documents, True, np.float32)

        def attributes(vectors, losses=()):
            return {
                **self._describe(words, vectors, frequency, idf),
                "_losses": list(losses),
                "_vocabulary_error": counts.error,
                "_pair_error": counts.pair_error,
            }

        pairs = both_directions(counts.pairs_of(chosen))
        vectors, losses = learn_vectors(self, pairs, lambda read: on_epoch(lambda: attributes(read())))
        _warn_of_words_alone(vectors, self.n_components)
        return attributes(vectors, losses)

    def _describe(self, words, vectors, frequency, idf):
        # Texts of independent words agree most along the mean of the weighted vectors.
        mean = sum_of_rows(frequency * smooth_inverse_frequency(frequency, self.sif_weight), vectors)
        buckets, ngram_vectors = learn_subwords(self, words, vectors)
        return {
            "_ngram_buckets": buckets,
            "_ngram_vectors": ngram_vectors,
            "_words": words,
            "_vectors": vectors,
            "_lengths": row_lengths(vectors),
            "_frequency": frequency,
            "_idf": idf,
            "_common": unit_rows(mean[None])[0].astype(np.float32),
            "_is_stale": False,
        }

    def as_linear(self):
        """Return the encoder as a linear map of words.

        Returns
        -------
        form : LinearForm
            Counts of words, the weights of their mean, and their vectors. Words outside the vocabulary, which `subword`
            gives vectors to, are not part of it.

        Raises
        ------
        NotLinearError
            If `pooling` takes a maximum.
        """
        check_is_fitted(self)
        self._settle()
        if "max" in self.pooling:
            raise NotLinearError(f"WordVectorEncoder with pooling={self.pooling!r} is not linear in words")
        weights = self._weights_of_words()
        removed = self._common if self.pooling == "sif" else None
        return LinearForm(self._words, weights, True, self._vectors, removed, self.norm)

    def _weights_of_words(self):
        """Return the weight of each word in the mean of a text; None where all weigh the same."""
        if self.pooling == "sif":
            return smooth_inverse_frequency(self._frequency, self.sif_weight)
        return self._idf if self.pooling == "tfidf" else None

    def term_projection(self):
        """Return the word vectors with the encoder of words that they belong to.

        Returns
        -------
        projection : TermProjection
            The encoder of words, their vectors and inverse document frequencies.
        """
        check_is_fitted(self)
        self._settle()
        return TermProjection(self._words, self._vectors, self._idf)

    def can_fine_tune(self, quickly=False):
        """Return whether the encoder is a network: with pooling "mean" or "tfidf", and without subword vectors.

        Parameters
        ----------
        quickly : bool, default=False
            Whether it also has to be trained in little time.

        Returns
        -------
        can_fine_tune : bool
            Whether `to_network` may be called.
        """
        return self.pooling in ("mean", "tfidf") and not self.subword

    def to_network(self, X):
        """Return the encoder as the input and the layers of a network.

        Parameters
        ----------
        X : list of str
            Texts.

        Returns
        -------
        rows : csr_matrix of shape (n_samples, n_words)
            Weights of the words of each text, whose product with the word vectors is the pooled vector.
        layers : list of Layer
            The word vectors, and the normalisation if there is one.
        """
        self._settle()
        words, n_unknown = self._words.encode(X)
        warn_of_unknown_texts(self, n_unknown)
        rows = share_rows(words, self._idf if self.pooling == "tfidf" else None)
        return rows, [Linear(self._vectors), *([L2Normalisation()] if self.norm == "l2" else [])]

    def with_layers(self, layers):
        """Return a copy with other word vectors.

        Parameters
        ----------
        layers : list of Layer
            Layers of the same shapes as those of `to_network`.

        Returns
        -------
        encoder : WordVectorEncoder
            The copy.
        """
        twin = copy(self)
        described = self._describe(self._words, layers[0].weights, self._frequency, self._idf)
        vars(twin).update(described, _counts=None, _keeps_counts=False)
        return twin

    def _make_words(self):
        """Return an encoder of texts as counts of words, not fitted, after checking what constraints cannot."""
        lengths = self.ngram_range
        if not (len(lengths) == 2 and all(isinstance(n, Integral) for n in lengths) and 1 <= lengths[0] <= lengths[1]):
            raise ValueError(
                "The 'ngram_range' parameter of WordVectorEncoder must be (min_n, max_n) with 1 <= min_n <= max_n. "
                f"Got {lengths!r} instead."
            )
        return TfidfEncoder(norm=None, use_idf=False, **{name: getattr(self, name) for name in _TEXT_PARAMETERS})

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


def _warn_of_words_alone(vectors, n_components):
    n_alone = int((~vectors.any(axis=1)).sum())
    if n_alone > len(vectors) / 2:
        warnings.warn(
            f"{n_alone} of {len(vectors)} words have vectors of zeros: no word stands near them more often than by "
            f"chance, or their co-occurrences lie beyond the n_components={n_components} leading components. Vectors "
            "are learned from the words of a text that stand near each other: texts of one word give none.",
            UserWarning,
            stacklevel=count_inner_frames(),
        )
