"""TF-IDF: term counts weighed by how few documents hold the term."""

from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.feature_extraction.text import TfidfVectorizer

from transferkit._validation import (
    HasMethods,
    Interval,
    StrOptions,
    check_is_fitted,
    check_texts,
    fit_context,
)

# Shared with every encoder that starts from TF-IDF rows and passes these parameters on.
TEXT_PARAMETER_CONSTRAINTS = {
    "strip_accents": [StrOptions({"ascii", "unicode"}), None, callable],
    "lowercase": ["boolean"],
    "preprocessor": [callable, None],
    "tokenizer": [callable, None],
    "analyzer": [StrOptions({"word", "char", "char_wb"}), callable],
    "stop_words": [StrOptions({"english"}), list, None],
    "token_pattern": [str, None],
    "ngram_range": [tuple],
    "max_df": [Interval(Real, 0, 1, closed="both"), Interval(Integral, 1, None, closed="left")],
    "min_df": [Interval(Real, 0, 1, closed="both"), Interval(Integral, 1, None, closed="left")],
    "max_features": [Interval(Integral, 1, None, closed="left"), None],
    "vocabulary": ["array-like", dict, set, HasMethods("keys"), None],
    "binary": ["boolean"],
    "norm": [StrOptions({"l1", "l2"}), None],
    "use_idf": ["boolean"],
    "smooth_idf": ["boolean"],
    "sublinear_tf": ["boolean"],
}


class TfidfEncoder(TransformerMixin, BaseEstimator):
    r"""Encode texts as sparse TF-IDF rows.

    The parameters, the vocabulary, the order of columns and the numbers are those of scikit-learn's
    :class:`~sklearn.feature_extraction.text.TfidfVectorizer`; rows are float32 unless asked otherwise,
    and the fitted state is arrays that a model file holds as they are.

    Parameters
    ----------
    input : {'content', 'filename', 'file'}, default='content'
        What is given: the texts, the names of files that hold them, or open files.
    encoding : str, default='utf-8'
        How bytes and files are decoded.
    decode_error : {'strict', 'ignore', 'replace'}, default='strict'
        What to do with bytes that are not valid in `encoding`.
    strip_accents : {'ascii', 'unicode'} or callable, default=None
        Remove accents during preprocessing.
    lowercase : bool, default=True
        Lowercase the texts before they are split into terms.
    preprocessor : callable, default=None
        Replaces `strip_accents` and `lowercase`: text in, text out.
    tokenizer : callable, default=None
        Replaces `token_pattern`: text in, list of words out.
    analyzer : {'word', 'char', 'char_wb'} or callable, default='word'
        Terms are n-grams of words, of characters, or of characters within words.
    stop_words : {'english'} or list, default=None
        Words that are left out (only with ``analyzer='word'``).
    token_pattern : str, default=r"(?u)\b\w\w+\b"
        Regular expression of a word.
    ngram_range : tuple (min_n, max_n), default=(1, 1)
        Smallest and largest length of n-grams.
    max_df : float in [0.0, 1.0] or int, default=1.0
        Leave out terms in more documents than this share (float) or number (int).
    min_df : float in [0.0, 1.0] or int, default=1
        Leave out terms in fewer documents than this share (float) or number (int).
    max_features : int, default=None
        Keep only that many terms, the most frequent ones.
    vocabulary : mapping or iterable, default=None
        Use these terms; nothing but the document frequencies is learned.
    binary : bool, default=False
        Count a term once a document.
    dtype : {np.float32, np.float64}, default=np.float32
        Type of the numbers in the rows.
    norm : {'l1', 'l2'} or None, default='l2'
        Norm that every row is divided by.
    use_idf : bool, default=True
        Weigh terms by their inverse document frequency.
    smooth_idf : bool, default=True
        Compute it as if one more document held every term once.
    sublinear_tf : bool, default=False
        Replace a count by 1 + log(count).

    Attributes
    ----------
    vocabulary_ : dict of str to int
        Column of each term.
    idf_ : ndarray of shape (n_terms,)
        Inverse document frequency of each term; ones when `use_idf` is False.

    See Also
    --------
    LSAEncoder : Dense features from TF-IDF rows.
    PretrainedEncoder : A fitted encoder that keeps its state and encodes each text once.

    References
    ----------
    .. [1] K. Sparck Jones (1972). A statistical interpretation of term specificity and its
       application in retrieval. Journal of Documentation 28 (1), 11-21.

    Examples
    --------
    >>> from transferkit import TfidfEncoder
    >>> encoder = TfidfEncoder().fit(["a matrix has rows", "a vector has entries"])
    >>> encoder.get_feature_names_out()
    array(['entries', 'has', 'matrix', 'rows', 'vector'], dtype=object)
    >>> encoder.transform(["rows, rows and entries"]).toarray().round(2)
    array([[0.45, 0.  , 0.  , 0.89, 0.  ]], dtype=float32)
    """

    _parameter_constraints: dict = {
        "input": [StrOptions({"filename", "file", "content"})],
        "encoding": [str],
        "decode_error": [StrOptions({"strict", "ignore", "replace"})],
        "dtype": "no_validation",  # checked by scikit-learn, which says which ones it takes
        **TEXT_PARAMETER_CONSTRAINTS,
    }

    def __init__(
        self,
        *,
        input="content",
        encoding="utf-8",
        decode_error="strict",
        strip_accents=None,
        lowercase=True,
        preprocessor=None,
        tokenizer=None,
        analyzer="word",
        stop_words=None,
        token_pattern=r"(?u)\b\w\w+\b",
        ngram_range=(1, 1),
        max_df=1.0,
        min_df=1,
        max_features=None,
        vocabulary=None,
        binary=False,
        dtype=np.float32,
        norm="l2",
        use_idf=True,
        smooth_idf=True,
        sublinear_tf=False,
    ):
        self.input = input
        self.encoding = encoding
        self.decode_error = decode_error
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
        self.dtype = dtype
        self.norm = norm
        self.use_idf = use_idf
        self.smooth_idf = smooth_idf
        self.sublinear_tf = sublinear_tf

    def fit(self, X, y=None):
        """Learn the vocabulary and the document frequencies.

        Parameters
        ----------
        X : iterable of str, length n_texts
            Texts: list, NumPy array, generator, pandas or polars Series.
        y : None
            Ignored; here for scikit-learn's API.

        Returns
        -------
        self : TfidfEncoder
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
        rows : CSR matrix of shape (n_texts, n_terms)
            TF-IDF rows.
        """
        documents = self._check_documents(X)
        vectorizer = TfidfVectorizer(**self.get_params())
        rows = vectorizer.fit_transform(documents)
        terms = [term.encode("utf-8", "surrogatepass") for term in vectorizer.get_feature_names_out()]
        self._term_text = np.frombuffer(b"".join(terms), np.uint8)
        self._term_ends = np.cumsum([len(term) for term in terms], dtype=np.int64)
        self.idf_ = vectorizer.idf_ if self.use_idf else np.ones(len(terms), self.dtype)
        self._vectorizer = vectorizer
        return rows

    def transform(self, X):
        """Return the TF-IDF rows of the texts.

        Parameters
        ----------
        X : iterable of str, length n_texts
            Texts: list, NumPy array, generator, pandas or polars Series.

        Returns
        -------
        rows : CSR matrix of shape (n_texts, n_terms)
            A text without a known term gives a row of zeros.
        """
        check_is_fitted(self)
        documents = self._check_documents(X)
        if not hasattr(self, "_vectorizer"):
            self._vectorizer = TfidfVectorizer(**self.get_params() | {"vocabulary": self.vocabulary_})
            if self.use_idf:
                self._vectorizer.idf_ = self.idf_
        return self._vectorizer.transform(documents)

    @property
    def vocabulary_(self):
        """Column of each term."""
        return {str(term): column for column, term in enumerate(self.get_feature_names_out())}

    def get_feature_names_out(self, input_features=None):
        """Return the terms in the order of the columns.

        Parameters
        ----------
        input_features : None
            Ignored; here for scikit-learn's API.

        Returns
        -------
        terms : ndarray of str objects, shape (n_terms,)
            Terms.
        """
        check_is_fitted(self)
        text, starts = self._term_text.tobytes(), np.r_[0, self._term_ends[:-1]]
        return np.array(
            [text[a:b].decode("utf-8", "surrogatepass") for a, b in zip(starts, self._term_ends, strict=True)],
            dtype=object,
        )

    def _check_documents(self, X):
        return check_texts(X, accept=(str, bytes) if self.input == "content" else (object,))

    def __sklearn_is_fitted__(self):
        return hasattr(self, "_term_ends")

    def __getstate__(self):
        return {name: value for name, value in super().__getstate__().items() if name != "_vectorizer"}

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        tags.transformer_tags.preserves_dtype = []
        return tags
