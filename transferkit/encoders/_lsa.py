"""Latent semantic analysis: dense features from TF-IDF rows."""

from numbers import Integral

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.preprocessing import normalize
from sklearn.utils import check_random_state
from sklearn.utils.extmath import randomized_svd

from transferkit._validation import Interval, check_is_fitted, fit_context
from transferkit.encoders._tfidf import TEXT_PARAMETER_CONSTRAINTS, TfidfEncoder


class LSAEncoder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
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
    stemmer, n_jobs : any
        Stems instead of words, and threads, as in :class:`TfidfEncoder`.
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

    See Also
    --------
    TfidfEncoder : The sparse rows alone.
    PretrainedEncoder : A fitted encoder that keeps its state and encodes each text once.

    Notes
    -----
    With TF-IDF rows S and their truncated SVD U diag(s) V', a text's features are S V divided by their
    length. A text without any known term gives a row of zeros.

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

    _parameter_constraints: dict = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        **TEXT_PARAMETER_CONSTRAINTS,
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
        n_jobs=None,
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
        self.n_jobs = n_jobs
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
        tfidf = TfidfEncoder(**{name: getattr(self, name) for name in TEXT_PARAMETER_CONSTRAINTS})
        weights = tfidf.fit_transform(X)
        _, singular_values, components = randomized_svd(
            weights,
            min(self.n_components, *weights.shape),
            n_iter=self.n_iter,
            random_state=check_random_state(self.random_state),
        )
        self.tfidf_ = tfidf
        self._projection = np.ascontiguousarray(components.T, np.float32)
        self.singular_values_ = singular_values.astype(np.float32)
        return self._project(weights)

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
        return self._project(self.tfidf_.transform(X))

    @property
    def components_(self):
        """Right singular vectors, shape (n_components, n_terms)."""
        return self._projection.T  # stored transposed: a sparse product would otherwise copy it each time

    @property
    def vocabulary_(self):
        """Column of each term."""
        return self.tfidf_.vocabulary_

    def _project(self, weights):
        return normalize(weights @ self._projection, copy=False)

    @property
    def _n_features_out(self):
        return self._projection.shape[1]

    def __sklearn_is_fitted__(self):
        return hasattr(self, "_projection")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        tags.transformer_tags.preserves_dtype = []
        return tags
