"""TF-IDF: term counts weighed by how few documents hold the term."""

import warnings
from dataclasses import replace
from numbers import Integral, Real

import numpy as np
from scipy import sparse
from sklearn.base import TransformerMixin

from transferkit._algorithms.text.tfidf import (
    Weighting,
    counts_by_row,
    stack_rows,
    weigh,
    weigh_columns,
    within_bounds,
)
from transferkit._algorithms.text.vocabulary import Vocabulary, choose_columns, decode_terms, find_terms
from transferkit._algorithms.text.vocabulary_merging import merge_parts, to_vocabulary
from transferkit._validation import (
    HasMethods,
    Interval,
    StrOptions,
    check_is_fitted,
    fit_context,
    is_fitted,
)
from transferkit._versioning import VersionedEstimator
from transferkit.encoders.protocols import LinearForm
from transferkit.encoders.text._analysis import (
    TextSample,
    make_analysis,
    sort_given_vocabulary,
    warn_for_device,
    warn_for_parameters,
)
from transferkit.encoders.text._blocks import (
    TermStatistics,
    check_documents,
    count_blocks,
    count_given_terms,
    map_blocks,
    tally_terms,
    threaded_map,
)
from transferkit.encoders.text._functions import TextFunctionsMixin
from transferkit.encoders.text._lost_words import (
    count_texts,
    describe_empty_vocabulary,
    warn_of_lost_words,
    warn_of_unknown_texts,
)
from transferkit.encoders.text._passes import TermPass
from transferkit.encoders.text._shard_record import ShardRecordMixin
from transferkit.encoders.text._short_texts import are_few
from transferkit.encoders.text._streaming import TermStreamingMixin
from transferkit.encoders.text._term_files import (
    LEFT_OUT_OF_FILES,
    TERM_ARRAYS,
    complete_state,
    pack_state,
    unpack_array,
)
from transferkit.encoders.text._workings import find_workings

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
    "stemmer": [str, callable, None],
    "max_vocabulary": [Interval(Integral, 2, None, closed="left"), None],
    "n_jobs": [Integral, None],
}


class TfidfEncoder(TextFunctionsMixin, TermStreamingMixin, ShardRecordMixin, TransformerMixin, VersionedEstimator):
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
        Type of the numbers in the rows. Types of whole numbers give float64 and a warning, as in scikit-learn.
    norm : {'l1', 'l2'} or None, default='l2'
        Norm that every row is divided by.
    use_idf : bool, default=True
        Weigh terms by their inverse document frequency.
    smooth_idf : bool, default=True
        Compute it as if one more document held every term once.
    sublinear_tf : bool, default=False
        Replace a count by 1 + log(count).
    stemmer : str or callable, default=None
        A Snowball language such as "english" (needs ``pip install 'transferkit[text]'``), or a function from one
        word to its stem or lemma. It is called once for each distinct word, after stop words are left out.
        Only with ``analyzer='word'``.
    max_vocabulary : int, default=None
        Most distinct terms whose frequencies are held while counting, whatever is kept of them in the end. When there
        are more, those in the fewest documents are dropped (see Notes). None holds all, and is exact.
    n_jobs : int, default=None
        Threads that count. None means 1 unless in a :obj:`joblib.parallel_config` context, -1 all cores. The
        corpus is not copied, and the result does not depend on it.
    device : str, default="deprecated"
        Deprecated and without effect: texts are counted on the CPU; `n_jobs` uses more of its cores.

    Attributes
    ----------
    vocabulary_ : dict of str to int
        Column of each term.
    fixed_vocabulary_ : bool
        Whether the terms were given by `vocabulary`.
    idf_ : ndarray of shape (n_terms,)
        Inverse document frequency of each term; ones when `use_idf` is False.
    n_documents_ : int
        Number of texts learned from.
    vocabulary_error_ : int
        Number of documents by which a document frequency may be too low; 0 unless `max_vocabulary` was reached.
    n_shards_ : int
        Number of shards learned from, after :func:`transferkit.distributed.fit_sharded` only.
    skipped_shards_ : list of str
        Names of the shards that it left out.

    See Also
    --------
    LSAEncoder : Dense features from TF-IDF rows.
    PretrainedEncoder : A fitted encoder that keeps its state and encodes each text once.

    Notes
    -----
    Texts become arrays of UTF-8 bytes, tokens and n-grams become pairs of 64-bit hashes, and counting is sorting,
    so no Python code runs for each token. The vocabulary is the sorted array of these pairs, the terms' text as
    one array, and their frequencies; nothing is rebuilt when a model is loaded. Two terms with the same first
    hash are told apart by the second; only if both agreed (for terms of at most eight bytes they cannot, and
    for a billion longer ones the chance is about 1e-21) would two terms share a column. Callables,
    another `token_pattern`, and files go the plain way, one text at a time, with the same result.

    `partial_fit` and `merge` are exact for every setting: an encoder keeps the frequencies of all terms met, also
    of those that `min_df`, `max_df` or `max_features` leave out. So memory grows with the number of distinct
    terms and not with the corpus, about 60 bytes for each.

    `max_vocabulary` bounds it. When more distinct terms are met, those in the fewest documents are dropped until half
    as many are left, and they begin at zero if they come again. So nothing changes while the bound is not reached;
    after that, frequencies are too low by at most `vocabulary_error_`, which is the sum, over all times that terms were
    dropped, of the highest frequency among them. No term that is missing is in more documents than that: a `min_df`
    well above it chooses the same terms as without the bound. What is dropped depends on the order of the texts.

    An encoder that was fitted with `fit` is pickled and saved without the terms left
    out; after loading it encodes as before but cannot learn on. Use `partial_fit` where that is wanted.

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

    fitted_attributes = (
        "n_documents_",
        "_checks",
        "_columns",
        "_document_frequency",
        "_hashes",
        "_idf",
        "_is_complete",
        "_keeps_all",
        "_packed",
        "_tally",
        "_term_lengths",
        "_term_starts",
        "_term_text",
        "_total",
        "_vocabulary_error",
    )

    _parameter_constraints: dict = {
        "input": [StrOptions({"filename", "file", "content"})],
        "encoding": [str],
        "decode_error": [StrOptions({"strict", "ignore", "replace"})],
        "dtype": "no_validation",  # checked by scikit-learn, which says which ones it takes
        **TEXT_PARAMETER_CONSTRAINTS,
        "device": [str, None],
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
        stemmer=None,
        max_vocabulary=None,
        n_jobs=None,
        device="deprecated",
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
        self.stemmer = stemmer
        self.max_vocabulary = max_vocabulary
        self.n_jobs = n_jobs
        self.device = device

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Learn the vocabulary and the document frequencies.

        Parameters
        ----------
        X : iterable of str, length n_texts
            Texts: list, NumPy array, pandas or polars Series; a generator is read as it goes and not kept.
        y : None
            Ignored; here for scikit-learn's API.

        Returns
        -------
        self : TfidfEncoder
            The fitted encoder.
        """
        analysis = self._prepare_fit()
        self._store(self._learn(analysis, X), keeps_all=False, sample=analysis.sample)
        self._forget_shards()
        warn_of_lost_words(self, analysis.sample)
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
        analysis, documents = self._prepare_fit(), self._check_documents(X)
        rows = self._learn_and_encode(analysis, documents)
        self._forget_shards()
        warn_of_lost_words(self, analysis.sample)
        return rows

    def _learn_and_encode(self, analysis, documents):
        """Become fitted to the documents, and return their rows."""
        if self.vocabulary is not None or self.max_vocabulary is not None:
            texts = [text for block in analysis.split(documents) for text in block]  # files and streams are read once
            analysis = analysis.with_texts()
            self._store(self._tally_documents(analysis, texts), keeps_all=False, sample=analysis.sample)
            return self._encode_blocks(analysis, texts)[0]
        blocks = count_blocks(analysis, documents, self.n_jobs)
        run = threaded_map(self.n_jobs)
        merged = merge_parts(blocks, run)
        terms, terms_of = to_vocabulary(blocks, merged, run), merged.terms_of
        n_documents = sum(block.n_rows for block in blocks)
        del merged
        for k, block in enumerate(blocks):  # from here on only the counts are needed
            blocks[k] = block._replace(hashes=None, checks=None, text=None, starts=None, lengths=None)
        self._store(TermStatistics(terms, n_documents), keeps_all=False, sample=analysis.sample)

        def take_rows(k):
            block, blocks[k] = blocks[k], None  # its memory is free once the rows are made
            return self._weigh(counts_by_row(block, self._columns[terms_of[k]], self._row_dtype))

        return stack_rows(list(map_blocks(take_rows, range(len(blocks)), self.n_jobs)), len(self._idf))

    def transform(self, X):
        """Return the TF-IDF rows of the texts.

        Parameters
        ----------
        X : iterable of str, length n_texts
            Texts: list, NumPy array, generator, pandas or polars Series.

        Returns
        -------
        rows : CSR matrix of shape (n_texts, n_terms)
            A text without a known term gives a row of zeros; a warning is given when that is so for a whole batch of
            three texts or more.
        """
        check_is_fitted(self)
        rows, n_unknown = self._encode(X)
        warn_of_unknown_texts(self, n_unknown)
        return rows

    def _encode(self, X):
        """Return the rows of the texts and, where all are zeros, the number of texts that are not blank, else 0."""
        self._settle()
        documents, workings = self._check_documents(X), find_workings(self)
        if not are_few(documents):
            return self._encode_blocks(workings.analysis, documents)
        rows = workings.short_texts.encode(documents, self._weigh)
        return rows, 0 if rows.nnz else count_texts(documents)

    def _encode_blocks(self, analysis, documents):
        terms, n_unknown = self._terms(), []

        def make_rows(block):
            rows = self._rows_of(analysis.count(block), terms)
            if len(rows.data) == 0:
                n_unknown.append(count_texts(block))
            return rows

        blocks = list(map_blocks(make_rows, analysis.split(documents), self.n_jobs))
        rows = stack_rows(blocks, len(self._idf))
        return rows, 0 if rows.nnz else sum(n_unknown)

    def _rows_of(self, counts, terms):
        """Return the rows of a block of counted documents."""
        places = find_terms(terms.hashes, terms.checks, counts.hashes, counts.checks)
        columns = np.where(places >= 0, self._columns[places], np.int32(-1))
        return self._weigh(counts_by_row(counts, columns, self._row_dtype))

    @property
    def fixed_vocabulary_(self):
        """Whether the terms were given by `vocabulary`."""
        check_is_fitted(self)
        return self.vocabulary is not None

    @property
    def idf_(self):
        """Inverse document frequency of each term, shape (n_terms,)."""
        check_is_fitted(self)
        self._settle()
        return self._idf

    @property
    def vocabulary_error_(self):
        """Number of documents by which a document frequency may be too low."""
        check_is_fitted(self)
        self._settle()
        return getattr(self, "_vocabulary_error", 0)  # which files written before it lack

    @property
    def vocabulary_(self):
        """Column of each term."""
        return {term: column for column, term in enumerate(self.get_feature_names_out().tolist())}

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
        self._settle()
        kept = np.flatnonzero(self._columns >= 0)
        order = kept[np.argsort(self._columns[kept])]
        names = decode_terms(self._term_text, self._term_starts[order], self._term_lengths[order])
        return np.array(names, dtype=object)

    def inverse_transform(self, X):
        """Return the terms that have an entry in each row.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_texts, n_terms)
            Rows.

        Returns
        -------
        terms : list of ndarray of str objects
            Terms of each row.
        """
        names, rows = self.get_feature_names_out(), sparse.csr_array(X, copy=True)  # not to change the argument
        rows.eliminate_zeros()
        rows.sort_indices()
        return [names[rows.indices[a:b]] for a, b in zip(rows.indptr[:-1], rows.indptr[1:], strict=True)]

    def as_linear(self):
        """Return the encoder as a linear map of terms.

        Returns
        -------
        form : LinearForm
            The encoder itself, whose features are the weights of terms.
        """
        check_is_fitted(self)
        return LinearForm(self)

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
        self._prepare_fit()  # checks the parameters
        return TermPass(self, keep_statistics)

    def _set_terms(self, terms, columns, n_documents):
        """Become fitted with known terms: for encoders that count in their own way.

        Parameters
        ----------
        terms : Vocabulary
            All terms, with their frequencies.
        columns : ndarray of int32 of shape (n_terms,)
            Column of each, every number from 0 on once.
        n_documents : int
            Number of texts that the frequencies are of.

        Returns
        -------
        self : TfidfEncoder
            The fitted encoder.
        """
        self._set_state(TermStatistics(terms, n_documents), columns, keeps_all=True)
        return self

    def _prepare_fit(self):
        """Check what the declared constraints cannot, and return the analysis of texts."""
        warn_for_device(self)
        if np.dtype(self.dtype).kind in "iub":
            warnings.warn(
                f"The 'dtype' parameter of TfidfEncoder should be np.float32 or np.float64, because weights are no "
                f"whole numbers. Got {self.dtype!r}: rows will be float64.",
                UserWarning,
                stacklevel=4,
            )
        elif np.dtype(self.dtype) not in (np.float32, np.float64):
            raise ValueError(
                f"The 'dtype' parameter of TfidfEncoder must be np.float32 or np.float64. Got {self.dtype!r} instead."
            )
        lowest, highest = self.ngram_range
        if lowest > highest:
            raise ValueError(
                "The 'ngram_range' parameter of TfidfEncoder must be (min_n, max_n) with min_n <= max_n. "
                f"Got {self.ngram_range!r} instead."
            )
        warn_for_parameters(self)
        return replace(make_analysis(self), sample=TextSample())

    def _learn(self, analysis, X):
        """Return the statistics of the texts."""
        return self._tally_documents(analysis, self._check_documents(X))

    def _tally_documents(self, analysis, documents):
        if self.vocabulary is None:
            return tally_terms(analysis, documents, self.n_jobs, self.max_vocabulary)
        given, _ = sort_given_vocabulary(self.vocabulary, analysis, self.lowercase)
        return count_given_terms(analysis, given, documents, self.n_jobs)

    def _store(self, statistics, keeps_all, sample=None):
        """Become fitted with the terms that the parameters choose; a sample of the texts tells why there are none."""
        columns = self._choose_columns(statistics.terms, statistics.n_documents, sample)
        self._set_state(statistics, columns, keeps_all)

    def _set_state(self, statistics, columns, keeps_all):
        terms, n_documents, error = statistics
        settings = {"use_idf": self.use_idf, "smooth": self.smooth_idf, "dtype": self._row_dtype}
        idf = weigh_columns(terms.document_frequency, columns, n_documents, **settings)
        vars(self).update(zip(TERM_ARRAYS, terms, strict=True))
        self._columns, self._idf, self.n_documents_, self._packed = columns, idf, n_documents, None
        self._keeps_all, self._is_complete, self._vocabulary_error = keeps_all, True, error
        self._tally = None  # at last, as other threads take the encoder for settled from here on

    @property
    def _row_dtype(self):
        """The type of the rows, which is `dtype` unless that is for whole numbers."""
        return np.float64 if np.dtype(self.dtype).kind in "iub" else self.dtype

    def _choose_columns(self, terms, n_documents, sample):
        if self.vocabulary is not None:
            return sort_given_vocabulary(self.vocabulary, make_analysis(self), self.lowercase)[1]
        if len(terms.hashes) == 0:
            raise ValueError(describe_empty_vocabulary(self, sample))
        is_kept = within_bounds(terms.document_frequency, n_documents, self.min_df, self.max_df)
        if not is_kept.any():
            raise ValueError("After pruning, no terms remain. Try a lower min_df or a higher max_df.")
        return choose_columns(terms, is_kept, self.max_features, self.binary, self._row_dtype)

    def _terms(self):
        self._settle()
        return Vocabulary(*(getattr(self, name) for name in TERM_ARRAYS))

    def __getattr__(self, name):
        """Make the arrays of terms when the encoder comes from a file and one of them is asked for."""
        packed = vars(self).get("_packed") if name in LEFT_OUT_OF_FILES else None
        if packed is None:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return unpack_array(self, name)

    def _weigh(self, rows):
        weigh(rows, self._idf if self.use_idf else None, Weighting(self.binary, self.sublinear_tf, self.norm))
        return rows

    def _check_documents(self, X):
        return check_documents(X, (str, bytes) if self.input == "content" else (object,))

    def get_file_state(self):
        """Return the state to write, with the terms packed if there are not too many.

        Returns
        -------
        state : dict
            Parameters and fitted attributes by name.
        """
        return pack_state(self, self.__getstate__()) if is_fitted(self) else self.__getstate__()

    def finish_loading(self, trusted):
        """Check the arrays of terms, and compute those that the file leaves out.

        Parameters
        ----------
        trusted : Trusted
            The classes, functions and names that the caller of `load` trusts.
        """
        complete_state(self)

    def __sklearn_is_fitted__(self):
        return hasattr(self, "n_documents_")

    def __copy__(self):
        if is_fitted(self):
            self._settle()  # so that the two share no tally, which later texts change
        other = type(self).__new__(type(self))
        vars(other).update(vars(self))
        return other

    def __getstate__(self):
        state = super().__getstate__()
        if not is_fitted(self):
            return state
        self._settle()
        state = super().__getstate__()
        if state.get("_packed") is None and not self._keeps_all and (self._columns < 0).any():
            kept = np.flatnonzero(self._columns >= 0)
            state.update(zip(TERM_ARRAYS, self._terms().select(kept), strict=True))
            state.update(_columns=self._columns[kept], _is_complete=False)
        return state

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        tags.transformer_tags.preserves_dtype = []
        return tags
