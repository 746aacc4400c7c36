"""TF-IDF: term counts, weighted by the inverse document frequency of the term."""

import warnings
from dataclasses import dataclass, replace
from threading import RLock
from typing import Any, Literal, Self

import numpy as np
from scipy import sparse
from sklearn.base import TransformerMixin

from transferkit._algorithms.text.term_counts import (
    column_weights,
    counts_by_row,
    stack_rows,
    to_matrix,
    weight_counts,
    within_bounds,
)
from transferkit._algorithms.text.vocabulary import (
    TermAccumulator,
    TermStatistics,
    choose_columns,
    merge_parts,
    to_vocabulary,
)
from transferkit._estimator import VersionedEstimator
from transferkit._types import Function, Vocabulary
from transferkit._validation import (
    StrOptions,
    check_can_merge,
    check_is_fitted,
    fit_context,
    forget_shards,
    is_fitted,
)
from transferkit.encoders._pretraining import PretrainableMixin, warns_of_lost_pretraining
from transferkit.encoders.protocols import LinearForm
from transferkit.encoders.text._analyzer import TextSample, choose_unit, find_analyzer
from transferkit.encoders.text._counting import (
    check_documents,
    count_blocks,
    count_corpus,
    count_given_terms,
    count_small,
    index_given_vocabulary,
    is_small,
    map_blocks,
    threaded_map,
)
from transferkit.encoders.text._fitted_terms import STATE, FittedTerms, to_state, to_statistics
from transferkit.encoders.text._parameters import (
    TEXT_PARAMETER_CONSTRAINTS,
    count_texts,
    describe_empty_vocabulary,
    warn_for_device,
    warn_for_parameters,
    warn_of_lost_words,
    warn_of_unknown_texts,
)
from transferkit.exceptions import count_inner_frames

__all__ = ["TfidfEncoder"]

_finishing = RLock()  # shared by all encoders, because a lock in an encoder could not be pickled


class TfidfEncoder(PretrainableMixin, TransformerMixin, VersionedEstimator):
    r"""Encode texts as sparse TF-IDF vectors.

    The weight of a term in a text is its count times its inverse document frequency [1]_. The parameters, the
    vocabulary, the order of columns and the values are those of scikit-learn's
    :class:`~sklearn.feature_extraction.text.TfidfVectorizer`; features are float32 by default. The encoder can also be
    fitted in batches, merged, and bounded in memory, and it counts with several threads.

    Parameters
    ----------
    input : {'content', 'filename', 'file'}, default='content'
        What `fit` and `transform` are given: texts, names of files, or open files.
    encoding : str, default='utf-8'
        How bytes and files are decoded.
    decode_error : {'strict', 'ignore', 'replace'}, default='strict'
        What to do with bytes that are not valid in `encoding`.
    strip_accents : {'ascii', 'unicode'} or callable, default=None
        Remove accents during preprocessing.
    lowercase : bool, default=True
        Lowercase the texts before they are split into terms.
    preprocessor : callable, default=None
        Function from a text to a text, in place of `strip_accents` and `lowercase`.
    tokenizer : callable, default=None
        Function from a text to its words, in place of `token_pattern`.
    analyzer : {'word', 'char', 'char_wb'} or callable, default='word'
        Terms are n-grams of words, of characters, or of characters within words.
    stop_words : {'english'} or list, default=None
        Words to leave out (only with ``analyzer='word'``).
    token_pattern : str, default=r"(?u)\b\w\w+\b"
        Regular expression of a word.
    ngram_range : tuple (min_n, max_n), default=(1, 1)
        Smallest and largest length of n-grams.
    max_df : float in [0.0, 1.0] or int, default=1.0
        Exclude terms that occur in more documents than this share (float) or number (int).
    min_df : float in [0.0, 1.0] or int, default=1
        Exclude terms that occur in fewer documents than this share (float) or number (int).
    max_features : int, default=None
        Keep at most that many terms, the most frequent ones.
    vocabulary : mapping or iterable, default=None
        Terms to use; only their document frequencies are learned.
    binary : bool, default=False
        Count a term at most once per document.
    dtype : {np.float32, np.float64}, default=np.float32
        Type of the features. Integer types give float64 and a warning, as in scikit-learn.
    norm : {'l1', 'l2'} or None, default='l2'
        Norm by which each vector is divided.
    use_idf : bool, default=True
        Weight terms by their inverse document frequency.
    smooth_idf : bool, default=True
        Compute it as if one more document contained every term once.
    sublinear_tf : bool, default=False
        Replace a count by 1 + log(count).
    stemmer : str or callable, default=None
        A Snowball language such as "english" (needs ``pip install 'transferkit[text]'``), or a function from a word
        to its stem or lemma, which is called once for each distinct word, after stop words are removed. Only with
        ``analyzer='word'``.
    max_vocabulary : int, default=None
        Maximum number of distinct terms whose frequencies are kept while counting. If there are more, those in the
        fewest documents are dropped (see Notes). None keeps all, and is exact.
    n_jobs : int, default=None
        Number of threads that count. None means 1 unless in a :obj:`joblib.parallel_config` context, -1 all cores.
        The corpus is not copied, and the result does not depend on it.
    device : str, default="deprecated"
        Deprecated and without effect: texts are counted on the CPU; `n_jobs` uses more of its cores.

    Attributes
    ----------
    vocabulary_ : dict of str to int
        Column of each term.
    fixed_vocabulary_ : bool
        Whether `vocabulary` gives the terms.
    idf_ : ndarray of shape (n_terms,)
        Inverse document frequency of each term; ones when `use_idf` is False.
    n_documents_ : int
        Number of texts that the encoder was fitted to.
    vocabulary_error_ : int
        Number of documents by which a document frequency may be too low; 0 unless `max_vocabulary` was exceeded.
    terms_ : FittedTerms
        The terms with their frequencies, columns and weights as arrays, for encoders that build on this one.
    n_shards_ : int
        Number of shards that the encoder was fitted to; only after :func:`transferkit.distributed.fit_sharded`.
    skipped_shards_ : list of str
        Names of the shards that were skipped; only after :func:`transferkit.distributed.fit_sharded`.

    See Also
    --------
    LSAEncoder : Dense features from TF-IDF vectors.
    PretrainedEncoder : A fitted encoder that keeps its state and encodes each text once.

    Notes
    -----
    Texts become arrays of UTF-8 bytes, tokens and n-grams become pairs of 64-bit hashes, and counting
    becomes sorting, so that no Python code runs for each token. Two different terms would share a column only if both
    hashes agreed: for terms of at most eight bytes they cannot, and for a billion longer ones the probability is about
    1e-21. Callables, another `token_pattern`, and files are processed one text at a time, with the same result.

    `partial_fit` and `merge` are exact for all settings: an encoder keeps the frequencies of all terms, including those
    that `min_df`, `max_df` or `max_features` exclude. Memory therefore grows with the number of distinct terms, by
    about 60 bytes for each, and not with the corpus. Pickles and model files of an encoder that was fitted with `fit`
    leave out the excluded terms: once loaded, it encodes as before but cannot be fitted further. Use `partial_fit` if
    it should.

    `max_vocabulary` bounds the memory. If there are more distinct terms, those in the fewest documents are dropped
    until half as many are left; a term that occurs again starts from zero. Frequencies are then too low by at most
    `vocabulary_error_`, the sum, over all times that terms were dropped, of the highest frequency among them. No
    missing term is in more documents than that, so a `min_df` well above it selects the same terms as without the
    bound. Which terms are dropped depends on the order of the texts.

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

    fitted_attributes = ("n_documents_", *STATE)

    _parameter_constraints: dict = {
        "input": [StrOptions({"filename", "file", "content"})],
        "encoding": [str],
        "decode_error": [StrOptions({"strict", "ignore", "replace"})],
        "dtype": "no_validation",  # checked by `prepare_fit`, because integer types are accepted with a warning
        **TEXT_PARAMETER_CONSTRAINTS,
        "device": [str, None],
    }

    def __init__(
        self,
        *,
        input: Literal["content", "file", "filename"] = "content",
        encoding: str = "utf-8",
        decode_error: Literal["ignore", "replace", "strict"] = "strict",
        strip_accents: Literal["ascii", "unicode"] | Function | None = None,
        lowercase: bool = True,
        preprocessor: Function | None = None,
        tokenizer: Function | None = None,
        analyzer: Literal["char", "char_wb", "word"] | Function = "word",
        stop_words: Literal["english"] | list[str] | None = None,
        token_pattern: str | None = r"(?u)\b\w\w+\b",
        ngram_range: tuple[int, int] = (1, 1),
        max_df: float = 1.0,
        min_df: float = 1,
        max_features: int | None = None,
        vocabulary: Vocabulary | None = None,
        binary: bool = False,
        dtype: Any = np.float32,
        norm: Literal["l1", "l2"] | None = "l2",
        use_idf: bool = True,
        smooth_idf: bool = True,
        sublinear_tf: bool = False,
        stemmer: str | Function | None = None,
        max_vocabulary: int | None = None,
        n_jobs: int | None = None,
        device: str | None = "deprecated",
    ) -> None:
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
    @warns_of_lost_pretraining
    def fit(self, X, y=None) -> Self:
        """Learn the vocabulary and the document frequencies.

        Parameters
        ----------
        X : iterable of str, length n_texts
            Texts: list, NumPy array, pandas or polars Series; a generator is consumed as it goes and not kept.
        y : None
            Ignored; here for scikit-learn's API.

        Returns
        -------
        self : TfidfEncoder
            The fitted encoder.
        """
        analyzer = self.prepare_fit()
        self._become_fitted(self._count_documents(analyzer, self._check_documents(X)), analyzer.sample)
        forget_shards(self)
        warn_of_lost_words(self, analyzer.sample)
        return self

    @fit_context(prefer_skip_nested_validation=True)
    @warns_of_lost_pretraining
    def fit_transform(self, X, y=None) -> Any:
        """Learn from the texts and return their TF-IDF vectors.

        Parameters
        ----------
        X : iterable of str, length n_texts
            Texts: list, NumPy array, generator, pandas or polars Series.
        y : None
            Ignored; here for scikit-learn's API.

        Returns
        -------
        rows : CSR matrix of shape (n_texts, n_terms)
            TF-IDF vectors.
        """
        analyzer, documents = self.prepare_fit(), self._check_documents(X)
        if self.vocabulary is None and self.max_vocabulary is None:
            rows = self._fit_to_blocks(count_blocks(analyzer, documents, self.n_jobs), analyzer.sample)
        else:  # the columns are known only after all terms are counted
            texts = [text for block in analyzer.split(documents) for text in block]  # files and streams are read once
            again = replace(analyzer, holds_text=True, sample=None)  # they are decoded and sampled by now
            self._become_fitted(self._count_documents(again, texts), analyzer.sample)
            rows, _ = self._encode_blocks(again, texts)
        forget_shards(self)
        warn_of_lost_words(self, analyzer.sample)
        return rows

    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y=None) -> Self:
        """Learn from more texts, as if they had been part of the first fit.

        Parameters
        ----------
        X : iterable of str, length n_texts
            A batch of texts: list, NumPy array, generator, pandas or polars Series.
        y : None
            Ignored; here for scikit-learn's API.

        Returns
        -------
        self : TfidfEncoder
            The encoder; it equals one fitted on all texts so far at once.

        Raises
        ------
        ValueError
            If the encoder was loaded without the terms that its bounds exclude.
        """
        is_first = not is_fitted(self)
        if not is_first:
            self._check_complete()
        analyzer = self.prepare_fit() if is_first else find_analyzer(self)
        self.add_terms(self._count_documents(analyzer, self._check_documents(X)))
        if is_first:
            warn_of_lost_words(self, analyzer.sample)
        return self

    def merge(self, other) -> Self:
        """Add the term statistics of another encoder.

        Parameters
        ----------
        other : TfidfEncoder
            A fitted encoder with the same parameters; it stays as it is.

        Returns
        -------
        self : TfidfEncoder
            The encoder; it equals one fitted on the texts of both, in any order.

        Raises
        ------
        ValueError
            If the parameters differ, or one of the two was loaded without the terms that its bounds exclude.
        TypeError
            If `other` is not a TfidfEncoder.
        """
        check_can_merge(self, other, [name for name in self.get_params() if name not in ("n_jobs", "device")])
        self._check_complete()
        other._check_complete()
        return self.add_terms(other._terms.statistics())

    def transform(self, X) -> Any:
        """Return the TF-IDF vectors of the texts.

        Parameters
        ----------
        X : iterable of str, length n_texts
            Texts: list, NumPy array, generator, pandas or polars Series.

        Returns
        -------
        rows : CSR matrix of shape (n_texts, n_terms)
            A text without a known term gives a row of zeros; a warning is given when all of a batch of three texts or
            more do.
        """
        rows, n_unknown = self.encode(X)
        warn_of_unknown_texts(self, n_unknown)
        return rows

    def inverse_transform(self, X) -> Any:
        """Return the terms that have an entry in each row.

        Parameters
        ----------
        X : array-like or sparse matrix of shape (n_texts, n_terms)
            TF-IDF vectors.

        Returns
        -------
        terms : list of ndarray of str objects
            Terms of each row.
        """
        names, rows = self.get_feature_names_out(), sparse.csr_array(X, copy=True)  # not to change the argument
        rows.eliminate_zeros()
        rows.sort_indices()
        return [names[rows.indices[a:b]] for a, b in zip(rows.indptr[:-1], rows.indptr[1:], strict=True)]

    def decode(self, doc):
        """Return a document as text: read if it is a file or its name, decoded if it is bytes.

        Parameters
        ----------
        doc : str, bytes or file
            A document of the kind that `input` says.

        Returns
        -------
        text : str
            The text.
        """
        return find_analyzer(self).vectorizer.decode(doc)

    def build_preprocessor(self):
        """Return the function that prepares a text before it is split into terms.

        Returns
        -------
        preprocessor : callable
            From str to str: lowercases and strips accents if the parameters say so, or calls `preprocessor`.
        """
        return find_analyzer(self).vectorizer.build_preprocessor()

    def build_tokenizer(self):
        """Return the function that splits a prepared text into words.

        Returns
        -------
        tokenizer : callable
            From str to a list of str.
        """
        return find_analyzer(self).vectorizer.build_tokenizer()

    def get_stop_words(self):
        """Return the words that are left out.

        Returns
        -------
        stop_words : frozenset of str or None
            Stop words, those of scikit-learn for "english"; None for none.
        """
        return find_analyzer(self).vectorizer.get_stop_words()

    def build_analyzer(self):
        """Return the function that turns one document into its terms, repeated as often as they occur.

        Returns
        -------
        analyzer : callable
            From a document to a list of str.
        """
        return find_analyzer(self).analyze

    def get_feature_names_out(self, input_features=None) -> np.ndarray:
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
        return np.array(self.terms_.names(), dtype=object)

    @property
    def vocabulary_(self):
        """Column of each term."""
        return {term: column for column, term in enumerate(self.terms_.names())}

    @property
    def fixed_vocabulary_(self):
        """Whether the terms were given by `vocabulary`."""
        check_is_fitted(self)
        return self.vocabulary is not None

    @property
    def idf_(self):
        """Inverse document frequency of each term, shape (n_terms,)."""
        return self.terms_.idf

    @property
    def vocabulary_error_(self):
        """Number of documents by which a document frequency may be too low."""
        return self.terms_.error

    @property
    def terms_(self):
        """The terms with their frequencies, columns and weights, for encoders that build on this one."""
        check_is_fitted(self)
        if not isinstance(self._terms, FittedTerms):
            with _finishing:
                if not isinstance(self._terms, FittedTerms):  # another thread may have done it meanwhile
                    self._terms = self._choose_terms(self._terms.statistics(), keeps_excluded=True)
        return self._terms

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
        self.prepare_fit()  # checks the parameters
        return _TermPass(self, keep_statistics)

    def as_linear(self):
        """Return the encoder as a linear map of terms.

        Returns
        -------
        form : LinearForm
            The encoder itself, whose features are the weights of terms.
        """
        check_is_fitted(self)
        return LinearForm(self)

    def count_terms(self, X):
        """Return the term statistics of texts, without fitting the encoder to them.

        Parameters
        ----------
        X : iterable of str, length n_texts
            Texts.

        Returns
        -------
        statistics : TermStatistics
            All terms with their frequencies; `min_df`, `max_df` and `max_features` have no effect.
        """
        return self._count_documents(find_analyzer(self), self._check_documents(X))

    def known_share(self, X):
        """Return the share of the terms of texts that the fitted encoder knows.

        Parameters
        ----------
        X : iterable of str, length n_texts
            Texts.

        Returns
        -------
        share : float
            From 0 to 1, where a term counts as often as it occurs; NaN for texts without terms.
        """
        check_is_fitted(self)
        found = self.count_terms(X).terms
        n_known = found.total[self.terms_.columns_of(found) >= 0].sum()
        return float(n_known / n_found) if (n_found := found.total.sum()) else float("nan")

    def add_terms(self, statistics):
        """Add the term statistics of more texts; columns and weights are computed when they are next needed.

        Parameters
        ----------
        statistics : TermStatistics
            From :meth:`count_terms`.

        Returns
        -------
        self : TfidfEncoder
            The encoder.
        """
        if not is_fitted(self) or isinstance(self._terms, FittedTerms):
            self._terms = self._make_accumulator(self._terms.statistics() if is_fitted(self) else None)
        self._terms.add(statistics)
        self.n_documents_ = self._terms.n_documents
        return self

    def set_terms(self, statistics, columns=None, idf=None, *, keeps_excluded=True):
        """Become fitted with known term statistics.

        Parameters
        ----------
        statistics : TermStatistics
            The terms with their frequencies.
        columns : ndarray of int32 of shape (n_terms,), default=None
            Column of each term, every number from 0 on once, -1 for none. None chooses them by the parameters.
        idf : ndarray of shape (n_columns,), default=None
            Weight of each column; None computes them.
        keeps_excluded : bool, default=True
            Whether terms without a column are kept, so that `partial_fit` and `merge` can continue.

        Returns
        -------
        self : TfidfEncoder
            The fitted encoder.
        """
        terms = self._choose_terms(statistics, keeps_excluded, columns=columns, idf=idf)
        self._terms = terms if keeps_excluded else terms.without_excluded()
        self.n_documents_ = statistics.n_documents
        return self

    def encode(self, X):
        """Return the TF-IDF vectors of texts, and how many texts are unknown if all are.

        Parameters
        ----------
        X : iterable of str, length n_texts
            Texts.

        Returns
        -------
        rows : CSR matrix of shape (n_texts, n_terms)
            TF-IDF vectors.
        n_unknown : int
            The number of texts that are not blank if no text has a known term, else 0.
        """
        terms, documents, analyzer = self.terms_, self._check_documents(X), find_analyzer(self)
        if not is_small(documents):
            return self._encode_blocks(analyzer, documents)
        rows = count_small(analyzer, documents, terms.find_columns, self._row_dtype)
        rows = to_matrix(self._weight(rows), len(terms.idf))
        return rows, 0 if rows.nnz else count_texts(documents)

    def encode_counts(self, blocks):
        """Return the TF-IDF vectors of texts whose terms are counted.

        Parameters
        ----------
        blocks : list of TermCounts
            Blocks of texts, counted as the parameters say.

        Returns
        -------
        rows : CSR matrix of shape (n_texts, n_terms)
            TF-IDF vectors.
        """
        terms = self.terms_
        return stack_rows([self._make_rows(block, terms) for block in blocks], len(terms.idf))

    def prepare_fit(self):
        """Check what the declared constraints cannot.

        Returns
        -------
        analyzer : Analyzer
            The analyzer of the parameters, which samples the texts that it splits.
        """
        warn_for_device(self)
        if np.dtype(self.dtype).kind in "iub":
            warnings.warn(
                "The 'dtype' parameter of TfidfEncoder should be np.float32 or np.float64, because weights are not "
                f"integers. Got {self.dtype!r}: rows will be float64.",
                UserWarning,
                stacklevel=count_inner_frames(),
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
        analyzer = replace(find_analyzer(self, renew=True), sample=TextSample())
        warn_for_parameters(analyzer.vectorizer)
        return analyzer

    def get_file_state(self):
        """Return the state to write, with the terms packed if there are not too many.

        Returns
        -------
        state : dict
            Parameters and fitted attributes by name.
        """
        state = super().__getstate__()
        if state.pop("_terms", None) is None:
            return state
        return state | self.terms_.get_file_state(self._by_word, self._column_weights)

    def finish_loading(self, trusted):
        """Check the arrays of terms, and compute those that the file leaves out.

        Parameters
        ----------
        trusted : Trusted
            The classes, functions and names that the caller of `load` trusts.
        """
        self._restore_terms(self._take_state())

    def __sklearn_is_fitted__(self):
        return "_terms" in vars(self)

    def __copy__(self):
        other = type(self).__new__(type(self))
        vars(other).update(vars(self))
        if isinstance(vars(self).get("_terms"), TermAccumulator):
            other._terms = self._terms.copy()  # later texts are added to one of the two
        return other

    def __getstate__(self):
        state = super().__getstate__()
        terms = state.pop("_terms", None)
        if isinstance(terms, TermAccumulator):  # columns are chosen later, when all batches are known
            return state | to_state(terms.statistics())
        return state if terms is None else state | terms.get_state()

    def __setstate__(self, state):
        super().__setstate__(state)
        held = self._take_state()
        if "_hashes" in held and "_columns" not in held:
            self._terms = self._make_accumulator(to_statistics(held, self.n_documents_))
        else:
            self._restore_terms(held)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        tags.transformer_tags.preserves_dtype = []
        return tags

    def _check_documents(self, X):
        return check_documents(X, (str, bytes) if self.input == "content" else (object,))

    def _count_documents(self, analyzer, documents):
        """Return the term statistics of the documents."""
        if self.vocabulary is None:
            return count_corpus(analyzer, documents, self.n_jobs, self.max_vocabulary)
        given, _ = index_given_vocabulary(self.vocabulary, analyzer)
        return count_given_terms(analyzer, given, documents, self.n_jobs)

    def _make_accumulator(self, statistics):
        return TermAccumulator(None if self.vocabulary is not None else self.max_vocabulary, statistics)

    def _become_fitted(self, statistics, sample):
        """Choose columns and weights; the sample of the texts is for the error if there are no terms."""
        self._terms = self._choose_terms(statistics, keeps_excluded=False, sample=sample)
        self.n_documents_ = statistics.n_documents

    def _choose_terms(self, statistics, keeps_excluded, *, columns=None, idf=None, sample=None):
        """Return the terms with their columns and weights, computed by the parameters unless given."""
        if columns is None:
            columns = self._choose_columns(statistics, sample)
        if idf is None:
            idf = self._column_weights(statistics.terms.document_frequency, columns, statistics.n_documents)
        return FittedTerms(statistics, columns, idf, by_word=self._by_word, keeps_excluded=keeps_excluded)

    def _choose_columns(self, statistics, sample):
        terms, n_documents, _ = statistics
        if self.vocabulary is not None:
            return index_given_vocabulary(self.vocabulary, find_analyzer(self))[1]
        if len(terms.hashes) == 0:
            raise ValueError(describe_empty_vocabulary(self, sample))
        is_kept = within_bounds(terms.document_frequency, n_documents, self.min_df, self.max_df)
        if not is_kept.any():
            raise ValueError("After pruning, no terms remain. Try a lower min_df or a higher max_df.")
        return choose_columns(terms, is_kept, self.max_features, self.binary, self._row_dtype)

    def _column_weights(self, document_frequency, columns, n_documents=None):
        return column_weights(
            document_frequency,
            columns,
            self.n_documents_ if n_documents is None else n_documents,
            use_idf=self.use_idf,
            smooth=self.smooth_idf,
            dtype=self._row_dtype,
        )

    def _fit_to_blocks(self, blocks, sample):
        """Become fitted to counted blocks of texts, and return their TF-IDF vectors."""
        run = threaded_map(self.n_jobs)
        merged = merge_parts(blocks, run)
        terms, terms_of = to_vocabulary(blocks, merged, run), merged.terms_of
        n_documents = sum(block.n_rows for block in blocks)
        del merged
        for k, block in enumerate(blocks):  # from here on only the counts are needed
            blocks[k] = block._replace(hashes=None, checks=None, text=None, starts=None, lengths=None)
        self._become_fitted(TermStatistics(terms, n_documents), sample)
        columns, n_columns = self._terms.columns, len(self._terms.idf)

        def make_rows(k):
            block, blocks[k] = blocks[k], None  # its memory is free once the rows are made
            return self._weight(counts_by_row(block, columns[terms_of[k]], self._row_dtype))

        return stack_rows(list(map_blocks(make_rows, range(len(blocks)), self.n_jobs)), n_columns)

    def _encode_blocks(self, analyzer, documents):
        """Return what :meth:`encode` does, for many texts."""
        terms, n_unknown = self._terms, []

        def make_rows(block):
            rows = self._make_rows(analyzer.count(block), terms)
            if len(rows.data) == 0:
                n_unknown.append(count_texts(block))
            return rows

        blocks = list(map_blocks(make_rows, analyzer.split(documents), self.n_jobs))
        rows = stack_rows(blocks, len(terms.idf))
        return rows, 0 if rows.nnz else sum(n_unknown)

    def _make_rows(self, counts, terms):
        """Return the TF-IDF vectors of a block of counted documents."""
        columns = terms.columns_of(counts)
        return self._weight(counts_by_row(counts, columns, self._row_dtype))

    def _weight(self, rows):
        """Turn counts into weights, in place."""
        idf = self._terms.idf if self.use_idf else None
        weight_counts(rows, idf, binary=self.binary, sublinear_tf=self.sublinear_tf, norm=self.norm)
        return rows

    @property
    def _row_dtype(self):
        """The type of the features, which is `dtype` unless that is an integer type."""
        return np.float64 if np.dtype(self.dtype).kind in "iub" else self.dtype

    @property
    def _by_word(self):
        """Whether terms are hashed word by word."""
        return choose_unit(self) == "word"

    def _check_complete(self):
        if isinstance(self._terms, FittedTerms):
            self._terms.check_complete(type(self).__name__)

    def _take_state(self):
        """Remove and return the attributes that hold terms in a pickle or model file."""
        return {name: vars(self).pop(name) for name in STATE if name in vars(self)}

    def _restore_terms(self, state):
        if state:
            self._terms = FittedTerms.from_state(state, self.n_documents_, self._by_word, self._column_weights)


@dataclass(frozen=True)
class _TermPass:
    """Counts the terms of texts for a TfidfEncoder."""

    encoder: Any  # TfidfEncoder, not fitted
    keep_statistics: bool

    def add(self, total, X, shard_number):
        """Return the term statistics plus those of more texts."""
        counted = self.encoder.count_terms(X)
        return counted if total is None else self.merge(total, counted)

    def merge(self, left, right):
        """Return the term statistics of both."""
        return left.merge(right, self.encoder.max_vocabulary)

    def finish(self, total):
        """Return the encoder with the columns and weights that follow from the statistics."""
        return self.encoder.set_terms(total, keeps_excluded=self.keep_statistics)
