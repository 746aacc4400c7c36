"""Latent semantic analysis: dense features from TF-IDF vectors."""

from copy import copy, deepcopy
from dataclasses import dataclass, replace
from numbers import Integral
from threading import RLock
from typing import Any, Literal, NamedTuple, Self

import numpy as np
from joblib import effective_n_jobs
from scipy import sparse
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.callback import CallbackSupportMixin
from sklearn.utils import check_random_state

from transferkit._algorithms.linalg.decompositions import (
    RightVectors,
    RowProducts,
    drop_rounding,
    leading_vectors,
    right_vectors,
    start_row_space,
    unit_rows,
)
from transferkit._algorithms.linalg.krylov import KrylovSpace
from transferkit._algorithms.linalg.threads import N_SLICES, blas_threads_for
from transferkit._algorithms.networks.layers import L2Normalisation, Linear
from transferkit._algorithms.text.vocabulary import TermStatistics, to_vocabulary
from transferkit._estimator import UNWATCHED, FitProgress, VersionedEstimator
from transferkit._types import Function, Seed, Vocabulary
from transferkit._validation import (
    Interval,
    check_can_merge,
    check_is_fitted,
    fit_context,
    forget_shards,
    is_fitted,
    with_plain_outputs,
)
from transferkit.encoders._pretraining import PretrainableMixin, warns_of_lost_pretraining
from transferkit.encoders.protocols import LinearForm, ShardPass, TermProjection
from transferkit.encoders.text._analyzer import find_analyzer
from transferkit.encoders.text._counting import check_documents, count_blocks, threaded_map
from transferkit.encoders.text._parameters import (
    TEXT_PARAMETER_CONSTRAINTS,
    warn_for_device,
    warn_of_lost_words,
    warn_of_unknown_texts,
)
from transferkit.encoders.text._tfidf import TfidfEncoder

__all__ = ["LSAEncoder"]

_COMPUTED = ("tfidf_", "_projection", "singular_values_")
_MOST_PENDING = 1 << 22  # entries of sparse rows that wait for the SVD, about 8 bytes each
_finishing = RLock()  # shared by all encoders, because a lock in an encoder could not be pickled


class LSAEncoder(
    PretrainableMixin, CallbackSupportMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin, VersionedEstimator
):
    """Encode texts as dense vectors by latent semantic analysis (LSA) [1]_.

    TF-IDF vectors are projected onto their leading right singular vectors and divided by their length. Words that occur
    in the same documents get similar features, so that a model learns from one word about others: this helps most with
    few labels.

    Parameters
    ----------
    n_components : int, default=256
        Number of features; fewer if the corpus has fewer texts or terms.
    strip_accents, lowercase, preprocessor, tokenizer, analyzer, stop_words, token_pattern, ngram_range : any
        How texts become terms, as in :class:`TfidfEncoder`.
    max_df, min_df, max_features, vocabulary : any
        Which terms are kept, as in :class:`TfidfEncoder`. `min_df` is 2 by default, because nothing can be learned
        about co-occurrence from a term in one document.
    binary, norm, use_idf, smooth_idf, sublinear_tf : any
        How terms are weighted, as in :class:`TfidfEncoder`. `sublinear_tf` is True by default.
    stemmer, max_vocabulary, n_jobs : any
        Stems instead of words, a bound on memory, and threads, as in :class:`TfidfEncoder`.
    device : str, default="deprecated"
        Deprecated and without effect: texts are counted, and the SVD is computed, on the CPU.
    n_iter : int, default=6
        Number of power iterations of the randomised SVD [2]_; more are slower and more accurate.
    random_state : int, RandomState instance or None, default=0
        Seed of the randomised SVD. The default makes fits reproducible.

    Attributes
    ----------
    tfidf_ : TfidfEncoder
        The fitted encoder of terms.
    components_ : ndarray of shape (n_components, n_terms), float32
        Right singular vectors of the TF-IDF matrix, largest singular value first.
    singular_values_ : ndarray of shape (n_components,), float32
        Singular values.
    vocabulary_ : dict of str to int
        Column of each term.
    n_documents_ : int
        Number of texts that the encoder was fitted to.
    n_shards_ : int
        Number of shards that the encoder was fitted to; only after :func:`transferkit.distributed.fit_sharded`.
    skipped_shards_ : list of str
        Names of the shards that were skipped; only after :func:`transferkit.distributed.fit_sharded`.

    See Also
    --------
    TfidfEncoder : The sparse vectors alone.
    PretrainedEncoder : A fitted encoder that keeps its state and encodes each text once.

    Notes
    -----
    With the TF-IDF matrix X and its truncated SVD U diag(s) V', the features of the texts are the rows of X V divided
    by their lengths. A text without a known term, or with only terms that the leading vectors do not contain, has a row
    of zeros.

    `fit` holds the sparse matrix of the corpus, about 8 bytes for each distinct term of each text, dense matrices of
    `n_components` columns, and a Krylov space: 2 bytes times `n_iter` + 1 for each component and each text or term,
    whichever are fewer. `partial_fit` counts the terms of a batch. The SVD is computed when a result is
    needed (an attribute, `transform`, a pickle), or when the pending matrix has about four million entries; until then
    the encoder equals that of `fit` on all texts. Afterwards, and with `merge`, earlier texts are represented by their
    leading singular vectors times the singular values, and the next SVD is that of this summary and the new rows. The
    vocabulary and the document frequencies remain exact. The vectors become approximate in two ways: what lies beyond
    the leading vectors of an earlier SVD is lost, and earlier rows keep the weights and the terms of that time. The
    fewer results are requested between batches, the smaller both errors are. If the texts can be read more than once,
    :func:`transferkit.distributed.fit_sharded` finds the vectors of `fit` in the memory of one shard at a time.

    `set_callbacks` takes scikit-learn's callbacks, such as ``ProgressBar()``: the counting of the terms is a task of
    `fit`, and so is each iteration of the SVD. A request to stop has no effect, because the SVD needs all of them.

    References
    ----------
    .. [1] S. Deerwester et al. (1990). Indexing by latent semantic analysis. JASIS 41 (6), 391-407.
    .. [2] C. Musco, C. Musco (2015). Randomized block Krylov methods for stronger and faster
       approximate singular value decomposition. NeurIPS 28.

    Examples
    --------
    >>> from transferkit import LSAEncoder
    >>> texts = ["the cat sat", "the cat ran", "a stock rose", "a stock fell"]
    >>> encoder = LSAEncoder(n_components=2).fit(texts)
    >>> rows = encoder.transform(["cat", "stock"])
    >>> rows.shape, float(abs(rows[0] @ rows[1]).round(2))
    ((2, 2), 0.0)
    """

    fitted_attributes = _COMPUTED

    _parameter_constraints: dict = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        **TEXT_PARAMETER_CONSTRAINTS,
        "device": [str, None],
        "n_iter": [Interval(Integral, 0, None, closed="left")],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        n_components: int = 256,
        *,
        strip_accents: Literal["ascii", "unicode"] | Function | None = None,
        lowercase: bool = True,
        preprocessor: Function | None = None,
        tokenizer: Function | None = None,
        analyzer: Literal["char", "char_wb", "word"] | Function = "word",
        stop_words: Literal["english"] | list[str] | None = None,
        token_pattern: str | None = r"(?u)\b\w\w+\b",
        ngram_range: tuple[int, int] = (1, 1),
        max_df: float = 1.0,
        min_df: float = 2,
        max_features: int | None = None,
        vocabulary: Vocabulary | None = None,
        binary: bool = False,
        norm: Literal["l1", "l2"] | None = "l2",
        use_idf: bool = True,
        smooth_idf: bool = True,
        sublinear_tf: bool = True,
        stemmer: str | Function | None = None,
        max_vocabulary: int | None = None,
        n_jobs: int | None = None,
        device: str | None = "deprecated",
        n_iter: int = 6,
        random_state: Seed = 0,
    ) -> None:
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

    def fit(self, X, y=None) -> Self:
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
        self.fit_transform(X, y)
        return self

    @fit_context(prefer_skip_nested_validation=True)
    @warns_of_lost_pretraining
    @with_plain_outputs
    def fit_transform(self, X, y=None) -> np.ndarray:
        """Learn from the texts and return their features.

        Parameters
        ----------
        X : iterable of str, length n_texts
            Texts: list, NumPy array, generator, pandas or polars Series.
        y : None
            Ignored; here for scikit-learn's API.

        Returns
        -------
        rows : ndarray of shape (n_texts, n_components), float32
            Features of unit length.
        """
        warn_for_device(self)
        progress = FitProgress(self, self.n_iter + 2, "iteration")
        progress.begin(X, y)
        tfidf = self._make_tfidf()
        rows = tfidf.fit_transform(X)
        progress.step(name="counting")
        self.set_vectors(tfidf, self._decompose(rows, progress=progress))
        forget_shards(self)
        progress.end({})
        return self._project(rows)

    @fit_context(prefer_skip_nested_validation=True)
    @with_plain_outputs
    def partial_fit(self, X, y=None) -> Self:
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
        pending = vars(self).get("_pending")
        is_first = pending is None and not is_fitted(self)
        if pending is None and not is_first:
            self.tfidf_.terms_.check_complete("LSAEncoder")
        if self.vocabulary is not None or self.max_vocabulary is not None:  # terms depend on more than the counts
            return self._decompose_now(list(X) if hasattr(X, "__next__") else X, is_first)
        if pending is None:
            pending = _PendingBatches(self._make_tfidf()) if is_first else self._start_batches()
        analyzer = pending.tfidf.prepare_fit() if is_first else find_analyzer(pending.tfidf)
        blocks = count_blocks(analyzer, check_documents(X, (str, bytes)), self.n_jobs)
        with _finishing:  # a batch that fails changes nothing: all that can fail is done
            if not is_first and "_pending" not in vars(self):  # another thread computed the result meanwhile
                pending = self._start_batches()
            pending.add(blocks)
            self._pending = pending
            for name in _COMPUTED:
                vars(self).pop(name, None)
        if is_first:
            warn_of_lost_words(self, analyzer.sample)
        if pending.n_entries > _MOST_PENDING:
            self._decompose_pending()
        return self

    def merge(self, other) -> Self:
        """Add the terms and singular vectors of another encoder.

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
            If `other` is not an LSAEncoder.
        """
        check_can_merge(self, other, ["n_components"])
        for encoder in (self, other):
            encoder.tfidf_.terms_.check_complete("LSAEncoder")
        tfidf = copy(self.tfidf_).merge(other.tfidf_)
        mine, theirs = self._known().summarise(tfidf), other._known().summarise(tfidf)
        both = RightVectors(np.hstack([mine.vectors, theirs.vectors]), np.concatenate([mine.values, theirs.values]))
        no_rows = sparse.csr_matrix((0, len(mine.vectors)), dtype=np.float32)
        self.set_vectors(tfidf, self._decompose(no_rows, both))
        return self

    def transform(self, X) -> np.ndarray:
        """Return the dense features of the texts.

        Parameters
        ----------
        X : iterable of str, length n_texts
            Texts: list, NumPy array, generator, pandas or polars Series.

        Returns
        -------
        rows : ndarray of shape (n_texts, n_components), float32
            Features of unit length; zeros for a text without a known term.
        """
        return self._project(self._encode_terms(X))

    def set_vectors(self, tfidf, found):
        """Become fitted with known singular vectors.

        Parameters
        ----------
        tfidf : TfidfEncoder
            The fitted first half.
        found : RightVectors
            Right singular vectors of its rows, with their singular values.

        Returns
        -------
        self : LSAEncoder
            The fitted encoder.
        """
        self.tfidf_ = tfidf
        # Terms beyond the leading vectors would otherwise give texts of such terms rows of unit length.
        self._projection, self.singular_values_ = drop_rounding(found.vectors), found.values
        vars(self).pop("_pending", None)
        return self

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
        warn_for_device(self)
        return _VocabularyPass(self, self._make_tfidf().first_pass(keep_statistics))

    def as_linear(self):
        """Return the encoder as a linear map of terms.

        Returns
        -------
        form : LinearForm
            TF-IDF, the projection onto the singular vectors, and the division by the length.
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
        return self._encode_terms(X), [Linear(self._projection), L2Normalisation()]

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
        other = copy(self)
        other._projection = np.ascontiguousarray(layers[0].weights)
        return other

    @property
    def components_(self):
        """Right singular vectors, shape (n_components, n_terms)."""
        return self._projection.T  # stored transposed: a sparse product would otherwise copy it each time

    @property
    def n_documents_(self):
        """Number of texts that the encoder was fitted to."""
        check_is_fitted(self)
        return self.tfidf_.n_documents_

    @property
    def vocabulary_(self):
        """Column of each term."""
        return self.tfidf_.vocabulary_

    @property
    def _n_features_out(self):
        return self._projection.shape[1]

    def __getattr__(self, name):
        """Compute the fitted attributes when one of them is read while batches of texts are pending."""
        if name in _COMPUTED and "_pending" in vars(self):
            self._decompose_pending()
        if name in vars(self):  # also where another thread has just computed it
            return vars(self)[name]
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __getstate__(self):
        if "_pending" in vars(self):
            self._decompose_pending()
        return super().__getstate__()

    def __sklearn_is_fitted__(self):
        return "_projection" in vars(self) or "_pending" in vars(self)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        tags.transformer_tags.preserves_dtype = []
        return tags

    def _make_tfidf(self):
        return TfidfEncoder(**{name: getattr(self, name) for name in TEXT_PARAMETER_CONSTRAINTS})

    def _decompose(self, rows, before=None, progress=UNWATCHED):
        """Return the leading right singular vectors of the rows below a summary of earlier ones."""
        n_rows = rows.shape[0] + (0 if before is None else len(before.values))
        n_vectors = min(self.n_components, n_rows, rows.shape[1])
        random_state = check_random_state(self.random_state)
        run = threaded_map(self.n_jobs)
        # Our own threads share the slices, and those of BLAS would compete with them for the cores.
        n_products = 0 if effective_n_jobs(self.n_jobs) > 1 else min(n_rows, rows.shape[1]) * n_vectors**2 / N_SLICES
        with blas_threads_for(n_products):
            return leading_vectors(
                RowProducts(rows, before), n_vectors, self.n_iter, random_state, run, on_iteration=progress.step
            )

    def _decompose_now(self, texts, is_first):
        """Learn from a batch at once."""
        tfidf = self._make_tfidf() if is_first else copy(self.tfidf_)  # a batch that fails changes nothing
        rows, _ = tfidf.partial_fit(texts).encode(texts)
        return self.set_vectors(tfidf, self._decompose(rows, None if is_first else self._known().summarise(tfidf)))

    def _start_batches(self):
        return _PendingBatches(copy(self.tfidf_), self._known())

    def _decompose_pending(self):
        """Compute what follows from the pending batches."""
        with _finishing:
            pending = vars(self).get("_pending")
            if pending is None:  # another thread has done it
                return
            before = None if pending.known is None else pending.known.summarise(pending.tfidf)
            self.set_vectors(pending.tfidf, self._decompose(pending.tfidf.encode_counts(pending.blocks), before))

    def _known(self):
        return _Known(self.tfidf_, self._projection, self.singular_values_)

    def _encode_terms(self, X):
        check_is_fitted(self)
        rows, n_unknown = self.tfidf_.encode(X)
        warn_of_unknown_texts(self, n_unknown)
        return rows

    def _project(self, rows):
        features = rows @ self._projection
        return unit_rows(features, out=features)


class _PendingBatches:
    """Counted batches of texts that the singular value decomposition does not include yet.

    `tfidf` has the terms of all texts so far. `known` holds the results of the fit before the first batch; None if
    there was none.
    """

    def __init__(self, tfidf, known=None):
        self.tfidf, self.known, self.blocks, self.n_entries = tfidf, known, [], 0

    def add(self, blocks):
        """Add the counted blocks of a batch."""
        self.tfidf.add_terms(TermStatistics(to_vocabulary(blocks), sum(block.n_rows for block in blocks)))
        self.blocks += [block._replace(text=None, starts=None, lengths=None) for block in blocks]
        self.n_entries += sum(len(block.rows) for block in blocks)


class _Known(NamedTuple):
    """The encoder of terms, projection and singular values of an earlier fit."""

    tfidf: TfidfEncoder
    projection: np.ndarray
    singular_values: np.ndarray

    def summarise(self, tfidf):
        """Return the vectors, with their entries at the columns that their terms have in another TfidfEncoder."""
        terms, columns = self.tfidf.terms_.kept
        new = tfidf.terms_.columns_of(terms)
        vectors = np.zeros((len(tfidf.idf_), self.projection.shape[1]), np.float32)
        vectors[new[new >= 0]] = self.projection[columns[new >= 0]]
        return RightVectors(vectors, self.singular_values)


@dataclass(frozen=True)
class _VocabularyPass:
    """Counts the terms of texts for an LSAEncoder."""

    encoder: Any  # LSAEncoder, not fitted
    terms: ShardPass

    def add(self, total, X, shard_number):
        """Return the term statistics plus those of more texts."""
        return self.terms.add(total, X, shard_number)

    def merge(self, left, right):
        """Return the term statistics of both."""
        return self.terms.merge(left, right)

    def finish(self, total):
        """Return the first pass of the singular value decomposition."""
        encoder, tfidf = self.encoder, self.terms.finish(total)
        random_state = check_random_state(encoder.random_state)
        space = start_row_space(len(tfidf.idf_), _count_vectors(encoder, tfidf), encoder.n_iter, random_state)
        return _KrylovPass(encoder, tfidf, space)


@dataclass(frozen=True)
class _KrylovPass:
    """Computes the product X'X B of the TF-IDF rows X of all texts and the last block B of a Krylov space."""

    encoder: Any
    tfidf: Any  # fitted TfidfEncoder
    space: KrylovSpace

    def add(self, total, X, shard_number):
        """Return the product plus that of more texts."""
        rows = self.tfidf.transform(X)
        product = rows.T @ (rows @ self.space.block)
        if total is None:
            return product
        total += product
        return total

    def merge(self, left, right):
        """Return the sum of two products."""
        return left + right

    def finish(self, total):
        """Return the pass of the next block, or the fitted encoder."""
        space = deepcopy(self.space)  # a cluster may call this twice
        with blas_threads_for(space.basis.size * space.width / N_SLICES):
            space.add(total)
            if not space.is_complete:
                return replace(self, space=space)
            found = right_vectors(space, _count_vectors(self.encoder, self.tfidf))
        return self.encoder.set_vectors(self.tfidf, found)


def _count_vectors(encoder, tfidf):
    return min(encoder.n_components, tfidf.n_documents_, len(tfidf.idf_))
