"""Latent semantic analysis: dense features from TF-IDF rows."""

from copy import copy
from numbers import Integral

import numpy as np
from scipy import sparse
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_random_state

from transferkit._algorithms.linalg.normalisation import unit_rows
from transferkit._algorithms.linalg.truncated_svd import N_SPARE, RightVectors, RowProducts, leading_vectors
from transferkit._algorithms.networks.layers import L2Normalisation, Linear
from transferkit._algorithms.text.tfidf import stack_rows
from transferkit._algorithms.text.vocabulary import find_terms
from transferkit._algorithms.text.vocabulary_merging import to_vocabulary
from transferkit._algorithms.words.pooling import drop_rounding
from transferkit._validation import (
    Interval,
    check_can_merge,
    check_is_fitted,
    fit_context,
    is_fitted,
    with_plain_outputs,
)
from transferkit._versioning import VersionedEstimator
from transferkit.encoders.protocols import LinearForm, TermProjection
from transferkit.encoders.text._analysis import warn_for_device
from transferkit.encoders.text._blocks import TermStatistics, count_blocks
from transferkit.encoders.text._lost_words import warn_of_lost_words, warn_of_unknown_texts
from transferkit.encoders.text._passes import VocabularyPass
from transferkit.encoders.text._shard_record import ShardRecordMixin
from transferkit.encoders.text._streaming import settling
from transferkit.encoders.text._tfidf import TEXT_PARAMETER_CONSTRAINTS, TfidfEncoder
from transferkit.encoders.text._workings import find_workings

_COMPUTED = ("tfidf_", "_projection", "singular_values_")
_MOST_WAITING = 1 << 22  # entries of sparse rows that wait for the SVD, about 8 bytes each


class LSAEncoder(ShardRecordMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin, VersionedEstimator):
    """Encode texts as dense rows: TF-IDF projected on its leading singular vectors.

    Words that occur in the same documents move close to each other, so what was learned from one word
    carries over to its neighbours: with few labels that is worth many of them. Rows have unit length.

    Parameters
    ----------
    n_components : int, default=256
        Number of features; when the corpus has fewer texts or terms, as many as it allows.
    strip_accents, lowercase, preprocessor, tokenizer, analyzer, stop_words, token_pattern, ngram_range : any
        How texts become terms, as in :class:`TfidfEncoder`.
    max_df, min_df, max_features, vocabulary : any
        Which terms are kept, as in :class:`TfidfEncoder`; here `min_df` is 2 by default, because a term
        of one document has no company to learn from.
    binary, norm, use_idf, smooth_idf, sublinear_tf : any
        How terms are weighed, as in :class:`TfidfEncoder`; here `sublinear_tf` is True by default.
    stemmer, max_vocabulary, n_jobs : any
        Stems instead of words, a bound on memory, and threads, as in :class:`TfidfEncoder`.
    device : str, default="deprecated"
        Deprecated and without effect: texts are counted, and the SVD is computed, on the CPU.
    n_iter : int, default=4
        Power iterations of the randomised SVD; more are slower and closer to the exact one.
    random_state : int, RandomState instance or None, default=0
        Seed of the randomised SVD. The default gives the same encoder each time.

    Attributes
    ----------
    tfidf_ : TfidfEncoder
        The fitted first half.
    components_ : ndarray of shape (n_components, n_terms), float32
        Right singular vectors of the TF-IDF rows, largest singular value first.
    singular_values_ : ndarray of shape (n_components,), float32
        Singular values.
    vocabulary_ : dict of str to int
        Column of each term.
    n_documents_ : int
        Number of texts learned from.
    n_shards_ : int
        Number of shards learned from, after :func:`transferkit.distributed.fit_sharded` only.
    skipped_shards_ : list of str
        Names of the shards that it left out.

    See Also
    --------
    TfidfEncoder : The sparse rows alone.
    PretrainedEncoder : A fitted encoder that keeps its state and encodes each text once.

    Notes
    -----
    With TF-IDF rows S and their truncated SVD U diag(s) V', a text's features are S V divided by their
    length. A text without any known term, or with none that the leading vectors contain, gives a row of zeros.

    `fit` holds the sparse rows of the corpus, about 8 bytes for each distinct term of each text, and no dense matrix
    larger than `n_components` columns. `partial_fit` counts the terms of a batch; the SVD is computed when a result is
    asked for (an attribute, `transform`, a pickle), or when the rows that wait have about four million entries. Until
    then the encoder equals that of `fit` on all texts. After that, and with `merge`, the earlier texts are summed up by
    their leading singular vectors, times the singular values, and the next SVD is that of this summary and the new
    rows. The vocabulary and the document frequencies remain exact, whatever the batches; the vectors are approximate,
    in two ways: what lies beyond the leading vectors of an earlier SVD is forgotten, and earlier rows keep the weights
    (and the terms) of that time. Asking rarely makes both small.
    Where the texts can be read more than once, :func:`transferkit.distributed.fit_sharded` finds the vectors of `fit`
    in memory for a shard at a time.

    References
    ----------
    .. [1] S. Deerwester et al. (1990). Indexing by latent semantic analysis. JASIS 41 (6), 391-407.
    .. [2] N. Halko, P.-G. Martinsson, J. Tropp (2011). Finding structure with randomness:
       probabilistic algorithms for constructing approximate matrix decompositions. SIAM Review 53 (2).

    Examples
    --------
    >>> from transferkit import LSAEncoder
    >>> texts = ["the cat sat", "the cat ran", "a stock rose", "a stock fell"]
    >>> encoder = LSAEncoder(n_components=2).fit(texts)
    >>> rows = encoder.transform(["cat", "stock"])
    >>> rows.shape, float(abs(rows[0] @ rows[1]).round(2))
    ((2, 2), 0.0)
    """

    fitted_attributes = ("singular_values_", "tfidf_", "_projection")

    _parameter_constraints: dict = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        **TEXT_PARAMETER_CONSTRAINTS,
        "device": [str, None],
        "n_iter": [Interval(Integral, 0, None, closed="left")],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        n_components=256,
        *,
        strip_accents=None,
        lowercase=True,
        preprocessor=None,
        tokenizer=None,
        analyzer="word",
        stop_words=None,
        token_pattern=r"(?u)\b\w\w+\b",
        ngram_range=(1, 1),
        max_df=1.0,
        min_df=2,
        max_features=None,
        vocabulary=None,
        binary=False,
        norm="l2",
        use_idf=True,
        smooth_idf=True,
        sublinear_tf=True,
        stemmer=None,
        max_vocabulary=None,
        n_jobs=None,
        device="deprecated",
        n_iter=4,
        random_state=0,
    ):
        self.n_components = n_components
        self.strip_accents = strip_accents
        self.lowercase = lowercase
        self.preprocessor = preprocessor
        self.tokenizer = tokenizer
        self.analyzer = analyzer
        self.stop_words = stop_words
        self.token_pattern = token_pattern
        self.ngram_range = ngram_range
        self.max_df = max_df
        self.min_df = min_df
        self.max_features = max_features
        self.vocabulary = vocabulary
        self.binary = binary
        self.norm = norm
        self.use_idf = use_idf
        self.smooth_idf = smooth_idf
        self.sublinear_tf = sublinear_tf
        self.stemmer = stemmer
        self.max_vocabulary = max_vocabulary
        self.n_jobs = n_jobs
        self.device = device
        self.n_iter = n_iter
        self.random_state = random_state

    def fit(self, X, y=None):
        """Learn the vocabulary and the projection from unlabelled texts.

        Parameters
        ----------
        X : iterable of str, length n_texts
            Texts: list, NumPy array, generator, pandas or polars Series.
        y : None
            Ignored; here for scikit-learn's API.

        Returns
        -------
        self : LSAEncoder
            The fitted encoder.
        """
        self.fit_transform(X)
        return self

    @fit_context(prefer_skip_nested_validation=True)
    @with_plain_outputs
    def fit_transform(self, X, y=None):
        """Learn from the texts and return their rows.

        Parameters
        ----------
        X : iterable of str, length n_texts
            Texts: list, NumPy array, generator, pandas or polars Series.
        y : None
            Ignored; here for scikit-learn's API.

        Returns
        -------
        rows : ndarray of shape (n_texts, n_components), float32
            Rows of unit length.
        """
        warn_for_device(self)
        tfidf = self._make_tfidf()
        rows = tfidf.fit_transform(X)
        self._store(tfidf, self._decompose(rows))
        self._forget_shards()
        return self._project(rows)

    @fit_context(prefer_skip_nested_validation=True)
    @with_plain_outputs
    def partial_fit(self, X, y=None):
        """Learn from more texts.

        Parameters
        ----------
        X : iterable of str, length n_texts
            A batch of texts.
        y : None
            Ignored; here for scikit-learn's API.

        Returns
        -------
        self : LSAEncoder
            The encoder. Its vocabulary and document frequencies are exact, its vectors approximate (see Notes).

        Raises
        ------
        ValueError
            If the encoder was fitted with `fit` and then loaded, so that terms are missing.
        """
        warn_for_device(self)
        waiting = vars(self).get("_waiting")
        known = waiting is not None or is_fitted(self)
        if known and waiting is None:
            self.tfidf_._check_can_learn_on("LSAEncoder")
        if self.vocabulary is not None or self.max_vocabulary is not None:  # terms depend on more than the counts
            return self._add_now(list(X) if hasattr(X, "__next__") else X, known)
        if waiting is None:
            before = (self.tfidf_, self._projection, self.singular_values_) if known else None
            waiting = _Waiting(copy(self.tfidf_) if known else self._make_tfidf(), before)
        analysis = find_workings(waiting.tfidf).analysis if known else waiting.tfidf._prepare_fit()
        blocks = count_blocks(analysis, waiting.tfidf._check_documents(X), self.n_jobs)
        with settling:  # a batch that fails changes nothing: all that can fail was done
            if known and "_waiting" not in vars(self):  # another thread asked for the result meanwhile
                waiting = _Waiting(copy(self.tfidf_), (self.tfidf_, self._projection, self.singular_values_))
            waiting.add(blocks)
            self._waiting = waiting
            for name in _COMPUTED:
                vars(self).pop(name, None)
        if not known:
            warn_of_lost_words(self, analysis.sample)
        if waiting.n_entries > _MOST_WAITING:
            self._settle()
        return self

    def _add_now(self, texts, known):
        tfidf = copy(self.tfidf_) if known else self._make_tfidf()  # a batch that fails changes nothing
        rows = tfidf.partial_fit(texts)._encode(texts)[0]
        self._store(tfidf, self._decompose(rows, self._summary(tfidf) if known else None))
        return self

    def _settle(self):
        """Compute what was learned from the batches that wait."""
        with settling:
            waiting = vars(self).get("_waiting")
            if waiting is None:  # another thread has done it
                return
            terms = waiting.tfidf._terms()
            rows = [waiting.tfidf._rows_of(block, terms) for block in waiting.blocks]
            rows = stack_rows(rows, len(waiting.tfidf.idf_))
            before = None if waiting.before is None else _summarise(*waiting.before, waiting.tfidf)
            self._store(waiting.tfidf, self._decompose(rows, before))

    def __getattr__(self, name):
        """Compute the fitted attributes when one of them is asked for and batches of texts wait."""
        if name in _COMPUTED and "_waiting" in vars(self):
            self._settle()
        if name in vars(self):  # also where another thread has just computed it
            return vars(self)[name]
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __getstate__(self):
        if "_waiting" in vars(self):
            self._settle()
        return super().__getstate__()

    def merge(self, other):
        """Take over what another encoder has learned.

        Parameters
        ----------
        other : LSAEncoder
            A fitted encoder with the same parameters; it stays as it is.

        Returns
        -------
        self : LSAEncoder
            The encoder. Its vocabulary and document frequencies are exact, its vectors approximate (see Notes).

        Raises
        ------
        ValueError
            If the parameters differ, or terms are missing because one was fitted with `fit` and then loaded.
        TypeError
            If `other` is no LSAEncoder.
        """
        check_can_merge(self, other, ["n_components"])
        for encoder in (self, other):
            encoder.tfidf_._check_can_learn_on("LSAEncoder")
        tfidf = copy(self.tfidf_).merge(other.tfidf_)
        mine, theirs = self._summary(tfidf), other._summary(tfidf)
        both = RightVectors(np.hstack([mine.vectors, theirs.vectors]), np.concatenate([mine.values, theirs.values]))
        no_rows = sparse.csr_matrix((0, len(mine.vectors)), dtype=np.float32)
        self._store(tfidf, self._decompose(no_rows, both))
        return self

    def transform(self, X):
        """Return the dense rows of the texts.

        Parameters
        ----------
        X : iterable of str, length n_texts
            Texts: list, NumPy array, generator, pandas or polars Series.

        Returns
        -------
        rows : ndarray of shape (n_texts, n_components), float32
            Rows of unit length; zeros for a text without a known term.
        """
        check_is_fitted(self)
        rows, n_unknown = self.tfidf_._encode(X)
        warn_of_unknown_texts(self, n_unknown)
        return self._project(rows)

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
        return VocabularyPass(self, self._make_tfidf().first_pass(keep_statistics))

    @property
    def components_(self):
        """Right singular vectors, shape (n_components, n_terms)."""
        return self._projection.T  # stored transposed: a sparse product would otherwise copy it each time

    @property
    def n_documents_(self):
        """Number of texts learned from."""
        check_is_fitted(self)
        return self.tfidf_.n_documents_

    @property
    def vocabulary_(self):
        """Column of each term."""
        return self.tfidf_.vocabulary_

    def as_linear(self):
        """Return the encoder as a linear map of terms.

        Returns
        -------
        form : LinearForm
            TF-IDF, the projection onto the singular vectors, and rows of unit length.
        """
        check_is_fitted(self)
        return LinearForm(self.tfidf_, projection=self._projection, norm="l2")

    def term_projection(self):
        """Return the singular vectors as one vector per term.

        Returns
        -------
        projection : TermProjection
            The encoder of terms, their vectors and inverse document frequencies.
        """
        check_is_fitted(self)
        return TermProjection(self.tfidf_, self._projection, self.tfidf_.idf_)

    def can_fine_tune(self, quickly=False):
        """Return True: the projection is a linear layer.

        Parameters
        ----------
        quickly : bool, default=False
            Whether it also has to be trained in little time.

        Returns
        -------
        can_fine_tune : bool
            True.
        """
        return True

    def to_network(self, X):
        """Return the encoder as the input and the layers of a network.

        Parameters
        ----------
        X : list of str
            Texts.

        Returns
        -------
        rows : csr_matrix of shape (n_samples, n_terms)
            TF-IDF vectors.
        layers : list of Layer
            The projection and the normalisation.
        """
        rows, n_unknown = self.tfidf_._encode(X)
        warn_of_unknown_texts(self, n_unknown)
        return rows, [Linear(self._projection), L2Normalisation()]

    def with_layers(self, layers):
        """Return a copy with another projection.

        Parameters
        ----------
        layers : list of Layer
            Layers of the same shapes as those of `to_network`.

        Returns
        -------
        encoder : LSAEncoder
            The copy.
        """
        twin = copy(self)
        twin._projection = np.ascontiguousarray(layers[0].weights)
        return twin

    def _make_tfidf(self):
        return TfidfEncoder(**{name: getattr(self, name) for name in TEXT_PARAMETER_CONSTRAINTS})

    def _decompose(self, rows, before=None):
        n_rows = rows.shape[0] + (0 if before is None else len(before.values))
        n_vectors = min(self.n_components + N_SPARE, n_rows, rows.shape[1])
        random_state = check_random_state(self.random_state)
        return leading_vectors(RowProducts(rows, before), n_vectors, self.n_iter, random_state)

    def _summary(self, tfidf):
        """Return the vectors known, with their entries at the columns that their terms have in `tfidf`."""
        return _summarise(self.tfidf_, self._projection, self.singular_values_, tfidf)

    def _store(self, tfidf, found):
        self.tfidf_ = tfidf
        # Terms beyond the leading vectors would otherwise give texts of such terms rows of unit length.
        self._projection = drop_rounding(np.ascontiguousarray(found.vectors[:, : self.n_components]))
        self.singular_values_ = found.values[: self.n_components].copy()
        vars(self).pop("_waiting", None)

    def _project(self, weights):
        rows = weights @ self._projection
        return unit_rows(rows, out=rows)

    @property
    def _n_features_out(self):
        return self._projection.shape[1]

    def __sklearn_is_fitted__(self):
        return "_projection" in vars(self) or "_waiting" in vars(self)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        tags.transformer_tags.preserves_dtype = []
        return tags


class _Waiting:
    """Counted batches of texts, and what was known before: `tfidf` has the terms of all."""

    def __init__(self, tfidf, before):
        self.tfidf, self.before, self.blocks, self.n_entries = tfidf, before, [], 0

    def add(self, blocks):
        terms = to_vocabulary(blocks)
        self.tfidf._add(TermStatistics(terms, sum(block.n_rows for block in blocks)))
        self.blocks += [block._replace(text=None, starts=None, lengths=None) for block in blocks]
        self.n_entries += sum(len(block.rows) for block in blocks)


def _summarise(mine, projection, singular_values, tfidf):
    """Return the vectors known, with their entries at the columns that their terms have in `tfidf`."""
    known, there = mine._terms(), tfidf._terms()
    places = find_terms(there.hashes, there.checks, known.hashes, known.checks)
    kept = np.flatnonzero((mine._columns >= 0) & (places >= 0))
    columns = tfidf._columns[places[kept]]
    kept, columns = kept[columns >= 0], columns[columns >= 0]
    vectors = np.zeros((len(tfidf.idf_), projection.shape[1]), np.float32)
    vectors[columns] = projection[mine._columns[kept]]
    return RightVectors(vectors, singular_values)
