"""Word vectors, trained on unlabelled texts or loaded, and pooled to one vector per text."""

import warnings
from copy import copy
from dataclasses import replace
from functools import partial
from numbers import Integral, Real
from threading import RLock
from typing import Literal, Self

import numpy as np
from scipy import sparse
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.callback import CallbackSupportMixin

from transferkit._algorithms.linalg.decompositions import N_STEPS, unit_rows
from transferkit._algorithms.networks.compression import dequantise, quantise_array
from transferkit._algorithms.networks.layers import L2Normalisation, Linear
from transferkit._algorithms.text.term_counts import inverse_document_frequency
from transferkit._algorithms.text.vocabulary import TermStatistics
from transferkit._algorithms.words.cooccurrence import MAX_WINDOW, both_directions
from transferkit._algorithms.words.vectors import (
    common_direction,
    max_rows,
    mean_rows,
    mean_weights,
    nearest_rows,
    remove_direction,
    rotation_onto,
    row_lengths,
    smooth_inverse_frequency,
    sum_of_rows,
)
from transferkit._estimator import FitProgress, VersionedEstimator
from transferkit._lazy import DerivedValues
from transferkit._types import Function, Seed
from transferkit._validation import (
    Interval,
    StrOptions,
    check_can_merge,
    check_count,
    check_is_fitted,
    fit_context,
    forget_shards,
    is_fitted,
    unchanged_on_error,
    validate_parameter_constraints,
)
from transferkit.encoders._pretraining import PretrainableMixin, warns_of_lost_pretraining
from transferkit.encoders.protocols import LinearForm, TermProjection
from transferkit.encoders.text._analyzer import TextSample, find_analyzer, make_analyzer
from transferkit.encoders.text._counting import check_documents, count_corpus, count_given_terms, index_given_vocabulary
from transferkit.encoders.text._parameters import (
    TEXT_PARAMETER_CONSTRAINTS,
    describe_empty_vocabulary,
    warn_for_parameters,
    warn_of_lost_words,
    warn_of_unknown_texts,
)
from transferkit.encoders.text._tfidf import TfidfEncoder
from transferkit.encoders.words._counts import Bounds, WordCounts, WordPass, count_unseen_words
from transferkit.encoders.words._distillation import (
    DISTILLATION_CONSTRAINTS,
    append_scaled,
    check_teacher,
    fit_student,
    join_words,
)
from transferkit.encoders.words._training import METHODS, learn_subwords, spell_vectors, train_vectors
from transferkit.encoders.words._vector_files import (
    read_vectors,
    read_words_of,
    shares_of_counts,
    warn_of_words_no_text_gives,
)
from transferkit.exceptions import NotLinearError, count_inner_frames

__all__ = ["N_BESIDE", "WordVectorEncoder"]

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
_sif_weights: DerivedValues[np.ndarray] = DerivedValues()  # of large vocabularies, they take longer than a short text
N_BESIDE = 100  # components that continue_fit appends to vectors without counts
_finishing = RLock()  # shared by all encoders, because a lock in an encoder could not be pickled


class WordVectorEncoder(
    PretrainableMixin, CallbackSupportMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin, VersionedEstimator
):
    """Encode texts by the vectors of their words, trained on unlabelled texts or loaded from a file.

    Words that occur in similar contexts get similar vectors. A classifier that has seen one of them in labelled texts
    therefore generalises to the others. The vector of a text is pooled from the vectors of its words.

    Parameters
    ----------
    n_components : int, default=300
        Length of word vectors; the number of words kept, if that is smaller.
    method : {'ppmi-svd', 'glove', 'sgns'}, default='ppmi-svd'
        How vectors are computed from co-occurrence counts: the leading singular vectors of positive pointwise mutual
        information; GloVe, weighted least squares on the logarithms of counts; or skip-gram with negative sampling.
        The last two are trained with torch, starting from the vectors of the first.
    window : int, default=5
        Size of the context window: words at most that many tokens apart co-occur. Adjacent words count `window` times
        as much as the most distant ones. At most 255.
    min_count : int, default=5
        Leave out words that occur less often.
    max_features : int, default=None
        Keep only that many words, the most frequent ones.
    pooling : {'mean', 'tfidf', 'sif', 'max', 'mean+max'}, default='tfidf'
        How the vector of a text is computed from those of its words: mean; mean weighted by inverse document
        frequency; mean weighted by smooth inverse frequency, minus the direction common to all texts [3]_; maximum of
        each component; or mean and maximum side by side (twice the columns).
    norm : {'l2'} or None, default='l2'
        Divide the vector of each text (with 'mean+max', each half) by its length, or leave it.
    smoothing : float, default=0.75
        Exponent of the smoothed distribution of contexts, from which expected co-occurrences are computed; 1 favours
        rare words more.
    eigenvalue_weight : float, default=0.5
        Power of the singular values that scale the components of word vectors; 0 gives all the same weight.
    sif_weight : float, default=1e-3
        With ``pooling='sif'``, the weight of a word with share p of all words is ``sif_weight / (sif_weight + p)``.
    max_iter : int, default=3
        Epochs of 'glove' and 'sgns'. Many more overfit a small corpus.
    learning_rate : float, default=0.02
        Size of the first step of each entry, with 'glove' and 'sgns'; AdaGrad shortens later ones.
    x_max : float, default=10.0
        With 'glove', count of co-occurrences as adjacent words from which on all pairs have the same weight; rarer
        pairs have smaller weights.
    n_negative : float, default=1.0
        With 'sgns', number of negative samples per pair. More of them move all words apart.
    subword : bool, default=False
        Also fit vectors to the character n-grams of words, from which words outside the vocabulary get a vector in
        `transform`, `similarity`, `most_similar` and `analogy`.
    ngram_range : tuple (min_n, max_n), default=(3, 6)
        Lengths of these n-grams, including a space on either side of a word.
    n_buckets : int, default=65536
        Number of hash buckets for n-grams, of which the occupied ones are kept (``4 * n_components`` bytes each). With
        fewer, more n-grams share a vector.
    max_pairs : int, default=100_000_000
        Largest number of pairs of words kept while counting (12 to 16 bytes each). When it is exceeded, the pairs with
        the lowest counts are dropped until half as many remain; they start from zero if they occur again. Ties, mostly
        pairs seen once, are broken by a hash of the two words. Counts are exact until then; afterwards they are too low
        by at most `pair_error_`.
    max_vocabulary : int, default=None
        Largest number of distinct words kept while counting. When it is exceeded, the least frequent words are dropped
        with their pairs until half as many remain. Counts are exact until then.
    strip_accents, lowercase, preprocessor, tokenizer, stop_words, token_pattern, stemmer : any
        How texts are split into words, as in :class:`TfidfEncoder`.
    n_jobs : int, default=None
        Number of threads that count and multiply. None means 1 unless in a :obj:`joblib.parallel_config` context, -1
        all cores.
    device : str, default="auto"
        Device on which 'glove' and 'sgns' are trained: "auto" (CUDA if available, else the CPU), "cpu", "cuda" or
        "cuda:1". With "cuda", the decomposition of 'ppmi-svd' runs there as well; with "auto" it does not, so that its
        vectors do not depend on the machine. Texts are encoded with NumPy.
    random_state : int, RandomState instance or None, default=0
        Seed of the start of the eigendecomposition and of negative samples. The default gives the same vectors each
        time on a device.

    Attributes
    ----------
    vectors_ : ndarray of shape (n_words, n_components), float32
        Word vectors: of unit length if trained here, unchanged if loaded.
    vocabulary_ : dict of str to int
        Row of each word in `vectors_`, most frequent word first.
    frequency_ : ndarray of shape (n_words,), float64
        Share of each word in all words.
    idf_ : ndarray of shape (n_words,), float32
        Inverse document frequency of each word.
    n_documents_ : int
        Number of texts that the encoder was fitted to; 0 for loaded vectors.
    vocabulary_error_ : int
        Bound on the error of the count of a word, and on the count of any word that is missing; 0 unless
        `max_vocabulary` was exceeded.
    pair_error_ : int
        Bound on the error of the count of a pair, in which adjacent words count `window`, and on the count of any
        missing pair; 0 unless `max_pairs` was exceeded. Pairs dropped because of `max_vocabulary` are not included.
    n_shards_ : int
        Number of shards that the encoder was fitted to; only after :func:`transferkit.distributed.fit_sharded`.
    skipped_shards_ : list of str
        Names of the shards that were skipped; only after :func:`transferkit.distributed.fit_sharded`.
    fidelity_ : float
        Mean cosine of the teacher's embeddings of held-out texts, minus their mean, and the student's; only after
        :meth:`distil`. It counts texts without a known word as 0.
    n_held_out_ : int
        Number of these texts; only after :meth:`distil`.
    loss_curve_ : list of float
        Objective of 'glove' or 'sgns' during each epoch, up to a constant; empty for other vectors.

    See Also
    --------
    TfidfEncoder : Sparse vectors with a column per word.
    LSAEncoder : Dense vectors from co-occurrences of words within whole texts.
    PretrainedEncoder : A fitted encoder that keeps its state and encodes each text once.

    Notes
    -----
    One pass over the texts counts co-occurrences. The symmetric matrix of positive pointwise mutual information (PPMI,
    with smoothed expected co-occurrences [1]_) is decomposed into its leading singular vectors U diag(s) V', and word
    vectors are the rows of U diag(s ** eigenvalue_weight), scaled to unit length. This factorises the same quantity as
    skip-gram with negative sampling does by stochastic gradient descent [2]_, exactly and in much less time.

    'glove' and 'sgns' start from U diag(s ** 0.5), whose inner products are close to the optimum of either, and
    minimise their own objective by AdaGrad: GloVe's sum over all counted pairs [4]_ plus a small penalty on the
    products of all pairs, which prevents overfitting on a small corpus; or the expected objective of skip-gram with
    negative sampling over all counts [5]_. An epoch updates each word by its full gradient with contexts fixed, then
    each context. Word vectors are the sums of word and context vectors.

    With `subword`, vectors of n-grams are fitted by ridge regression such that the mean over the n-grams of a word
    approximates its vector [6]_. Known words keep their own vectors. An unseen word gets the weight of the rarest
    known one.

    Counts are additive: `partial_fit` and `merge` give the result of `fit` on all texts at once, unless `max_pairs` is
    exceeded. Memory grows with the number of distinct words and pairs, not with the corpus; rare pairs beyond
    `max_pairs` are pruned, never written to disk. Counting needs about half a gigabyte for the current texts and up to
    30 bytes per pair in `max_pairs`. The decomposition takes about ``17 * n_words * n_components`` bytes on top, and
    training ``24 * n_words * n_components``. After `partial_fit` or `merge` they run when the vectors are next needed.

    Counts stay in memory, but an encoder fitted with `fit` is pickled and saved without them: once loaded it encodes
    as before and cannot be fitted further. Use `partial_fit` if it should be.

    `set_callbacks` takes scikit-learn's callbacks, such as ``ProgressBar()``. Each epoch of `fit` is a task, and
    training stops if a callback requests it. With ``method="ppmi-svd"`` the tasks are the counting of the texts and the
    iterations of the decomposition, all of which are needed: a request to stop has no effect.

    The defaults of `smoothing` and `eigenvalue_weight` are those recommended in [1]_. They and those of training were
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
        "_levels",
        "_losses",
        "_ngram_buckets",
        "_ngram_vectors",
        "_pair_error",
        "_scales",
        "_vectors",
        "_vocabulary_error",
        "_words",
        "fidelity_",
        "n_held_out_",
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
        n_components: int = 300,
        *,
        method: Literal["glove", "ppmi-svd", "sgns"] = "ppmi-svd",
        window: int = 5,
        min_count: int = 5,
        max_features: int | None = None,
        pooling: Literal["max", "mean", "mean+max", "sif", "tfidf"] = "tfidf",
        norm: Literal["l2"] | None = "l2",
        smoothing: float = 0.75,
        eigenvalue_weight: float = 0.5,
        sif_weight: float = 1e-3,
        max_iter: int = 3,
        learning_rate: float = 0.02,
        x_max: float = 10.0,
        n_negative: float = 1.0,
        subword: bool = False,
        ngram_range: tuple[int, int] = (3, 6),
        n_buckets: int = 65536,
        max_pairs: int = 100_000_000,
        max_vocabulary: int | None = None,
        strip_accents: Literal["ascii", "unicode"] | Function | None = None,
        lowercase: bool = True,
        preprocessor: Function | None = None,
        tokenizer: Function | None = None,
        stop_words: Literal["english"] | list[str] | None = None,
        token_pattern: str | None = r"(?u)\b\w\w+\b",
        stemmer: str | Function | None = None,
        n_jobs: int | None = None,
        device: str = "auto",
        random_state: Seed = 0,
    ) -> None:
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

    @classmethod
    def from_file(cls, path, *, restrict_to=None, limit=None, encoding="utf-8", errors="strict", **parameters) -> Self:
        """Return an encoder with the word vectors of a file.

        Parameters
        ----------
        path : str or path
            word2vec (text or binary), GloVe (text) or fastText (``.vec``) file, plain or gzip-compressed.
        restrict_to : iterable of str, default=None
            Words, or texts whose words are wanted: only their vectors are read. The file is streamed, so
            memory is needed for these only.
        limit : int, default=None
            Read only that many words from the beginning of the file, which are the most frequent ones, whether
            `restrict_to` names them or not; None reads all.
        encoding : str, default="utf-8"
            Encoding of the words, such as "latin-1". A UTF-8 byte order mark is ignored in any case.
        errors : {'strict', 'replace', 'ignore', 'skip'}, default='strict'
            How to handle bytes that are invalid in that encoding: raise an error; replace them by U+FFFD; drop these
            bytes; or leave out the word. 'skip' also leaves out all other lines (in a binary file, words) that cannot
            be read, such as those with too few numbers, and accepts a header with a wrong number of words, so that a
            truncated file can be used. The first line must give the length of the vectors.
        **parameters : any
            Parameters of the encoder, such as `pooling` or ``lowercase=False`` for vectors of cased words.

        Returns
        -------
        encoder : WordVectorEncoder
            A fitted encoder.

        Raises
        ------
        ValueError
            If a line is malformed (its number is named), no word of `restrict_to` is in the file, or the encoding is
            unknown.

        Warns
        -----
        UserWarning
            If 'skip' left something out, with the number of lines and the first problem.
            If a word is repeated ('replace' and 'ignore' may make words equal): its first vector is kept.
            If most of the words are split into other tokens in texts, so that they cannot be found: words of one letter
            or with combining marks, for example. Set `token_pattern` or `tokenizer` then.

        Notes
        -----
        Such files hold no counts, but list words from the most to the least frequent. Until :meth:`adapt_idf` is
        called, the share of the word of rank r is therefore assumed to be proportional to 1 / r
        (Zipf's law), and its `idf_` to be 1 + log(r).
        """
        if limit is not None:
            check_count("limit", limit, "from_file", least=1)

        def read(analyze):
            options = {"limit": limit, "encoding": encoding, "errors": errors}
            if restrict_to is None:
                words, ranks, vectors = read_vectors(path, **options)
            else:
                is_set = isinstance(restrict_to, (dict, set, frozenset))
                texts = list(check_documents(list(restrict_to) if is_set else restrict_to, (str,)))
                words, ranks, vectors = read_words_of(texts, analyze, path, **options)
            return words, vectors, 1.0 / ranks

        return cls(**parameters)._load(read)

    @classmethod
    def from_gensim(cls, keyed_vectors, **parameters) -> Self:
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
            A fitted encoder. Shares of words come from gensim's counts if it has them, and are otherwise those of
            :meth:`from_file`: counts of n, n - 1, ..., 1, which gensim makes up for vectors from a file, are ignored.
        """

        def read(analyze):
            vectors = getattr(keyed_vectors, "wv", keyed_vectors)
            words = list(vectors.index_to_key)
            shares = shares_of_counts(vectors.expandos.get("count"), len(words))
            return words, np.array(vectors.vectors, np.float32), shares

        return cls(**parameters)._load(read)

    @classmethod
    def distil(
        cls,
        encoder,
        texts,
        *,
        beside=None,
        ridge=1.0,
        encode_words=False,
        validation_fraction=0.05,
        tol=1e-3,
        batch_size=1024,
        callbacks=(),
        **parameters,
    ):
        """Return a linear student of another encoder: one vector per word, which needs the other encoder no more.

        The vectors are fitted by ridge regression such that the TF-IDF rows of unlabelled texts times the vectors
        approximate the embeddings of these texts by the other encoder, the teacher [1]_, minus their mean.

        Parameters
        ----------
        encoder : transformer
            The teacher: a :class:`SentenceEncoder`, a fitted Pipeline or any other fitted transformer whose
            ``transform(texts)`` returns a dense array of shape (n_texts, n_components).
        texts : iterable of str, length n_texts
            Unlabelled texts, of the task itself if possible; at least 20 different ones. They are encoded in batches; a
            generator is read into a list first.
        beside : WordVectorEncoder, default=None
            Fitted encoder whose vectors are kept as the first components, followed by those of the student, which are
            scaled to the same mean square over the words of the texts. Its parameters are the defaults of `parameters`,
            and texts are split into words as it splits them.
        ridge : float, default=1.0
            Weight of the squared lengths of the vectors in the regression, relative to that of one text.
        encode_words : bool, default=False
            Whether the teacher also encodes each word of the texts as a text of its own. The student's embeddings then
            come closer to the teacher's, above all with few texts, but its vectors hold less of how words are used in
            these texts. The embeddings of words have a mean of their own.
        validation_fraction : float, default=0.05
            Share of the different texts, at most 0.5, that are held out of the regression to compute `fidelity_`: at
            least one text, and at most 1000.
        tol : float, default=1e-3
            The regression ends when no component has a residual larger than this share of its initial residual.
        batch_size : int, default=1024
            Number of texts per call of the teacher.
        callbacks : iterable of callback, default=()
            scikit-learn's callbacks, such as ``ProgressBar()``. Each batch is a task. If a callback requests to stop,
            the vectors are fitted to the texts encoded so far.
        **parameters : any
            Parameters of the student, such as `pooling`. `min_count` is 1 unless given; `n_components` is that of the
            teacher, and those of training from co-occurrences have no effect.

        Returns
        -------
        student : WordVectorEncoder
            A fitted encoder with `fidelity_` and `n_held_out_`. `frequency_` and `idf_` are those of the texts.
            Embeddings of texts are centred, as the mean of the teacher's embeddings is not added.

        Raises
        ------
        TypeError
            If `encoder` is not a transformer, `beside` is not a WordVectorEncoder, or a text is not a str.
        NotFittedError
            If `encoder` or `beside` is not fitted.
        ValueError
            If there are too few different texts; if embeddings are sparse, not finite, of the wrong shape or all equal;
            or if `parameters` contradict the way in which `beside` splits texts.

        Warns
        -----
        ConvergenceWarning
            If the regression does not reach `tol` in 500 steps.

        Notes
        -----
        Texts are reduced to the right-hand side of the normal equations, batch by batch, which are then solved by
        conjugate gradients. Memory is needed for the texts, their TF-IDF rows, and about 35 bytes per word of the texts
        and component, but not for the embeddings. Most of the time is that of the teacher.

        A student knows words, not their order. It holds no counts: it is saved, loaded and used as any other
        WordVectorEncoder, but cannot be fitted further or merged.

        References
        ----------
        .. [1] G. Hinton, O. Vinyals, J. Dean (2015). Distilling the knowledge in a neural network. arXiv:1503.02531.

        Examples
        --------
        >>> from transferkit import LSAEncoder, WordVectorEncoder
        >>> from itertools import product
        >>> words = ["cats", "dogs", "birds"], ["eat", "like", "see"], ["fish", "meat", "seeds"]
        >>> texts = [" ".join(chosen) for chosen in product(*words)]
        >>> student = WordVectorEncoder.distil(LSAEncoder(4).fit(texts), texts)
        >>> student.transform(["dogs like seeds"]).shape, student.n_held_out_, student.fidelity_ > 0.9
        ((1, 4), 1, True)
        """
        check_teacher(encoder)
        options = {
            "ridge": ridge,
            "encode_words": encode_words,
            "validation_fraction": validation_fraction,
            "tol": tol,
            "batch_size": batch_size,
        }
        validate_parameter_constraints(DISTILLATION_CONSTRAINTS, options, "distil")
        if beside is not None:
            _check_beside(beside, parameters)
            parameters = beside.get_params() | {"min_count": 1} | parameters
        student = cls(**{"min_count": 1} | parameters).set_callbacks(*callbacks)
        return student._learn_from(encoder, texts, beside, options)

    @fit_context(prefer_skip_nested_validation=True)
    @warns_of_lost_pretraining
    def fit(self, X, y=None) -> Self:
        """Train word vectors on unlabelled texts.

        Parameters
        ----------
        X : iterable of str, length n_texts
            Texts: list, NumPy array, pandas or polars Series; a generator is read as a stream and not kept.
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
        is_counted = self.method == "ppmi-svd"
        progress = FitProgress(self, 1 + N_STEPS if is_counted else self.max_iter, "epoch")
        with unchanged_on_error(self):
            progress.begin(X, y, None)
            counts = self._count(WordCounts(), X, sample := TextSample())
            if is_counted:
                progress.step(name="counting")
                learned = self._learn(counts, sample=sample, on_iteration=lambda: progress.step(name="iteration"))
            else:
                learned = self._learn(counts, progress.step, sample)
        learned.update(_counts=counts.to_state(), _keeps_counts=False)
        vars(self).update(learned)
        forget_shards(self)
        _forget_teacher(self)
        progress.end(learned)
        warn_of_lost_words(self, sample)
        return self

    def fit_transform(self, X, y=None) -> np.ndarray:
        """Train word vectors on the texts and return the vectors of the texts.

        Parameters
        ----------
        X : iterable of str, length n_texts
            Texts: list, NumPy array, generator, pandas or polars Series.
        y : None
            Ignored; here for scikit-learn's API.

        Returns
        -------
        embeddings : ndarray of shape (n_texts, n_features), float32
            One row per text.
        """
        texts = list(check_documents(X, (str,)))  # a generator can be read only once
        return self.fit(texts, y).transform(texts)

    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y=None) -> Self:
        """Add the counts of more texts: the result is that of `fit` on all texts at once.

        Parameters
        ----------
        X : iterable of str, length n_texts
            A batch of texts: list, NumPy array, generator, pandas or polars Series.
        y : None
            Ignored; here for scikit-learn's API.

        Returns
        -------
        self : WordVectorEncoder
            The encoder. Vectors are computed when they are next needed, and :meth:`adapt_idf` is undone.

        Raises
        ------
        ValueError
            If the encoder holds no counts: its vectors were loaded, or it was fitted with `fit` and then loaded.
        """
        known, sample = is_fitted(self), TextSample()
        self._add_counts(self._count(self._known_counts() if known else WordCounts(), X, sample))
        if not known:
            warn_of_lost_words(self, sample)
        return self

    def merge(self, other) -> Self:
        """Add the counts of another encoder: the result is that of `fit` on the texts of both.

        Parameters
        ----------
        other : WordVectorEncoder
            A fitted encoder with the same parameters; it is not changed.

        Returns
        -------
        self : WordVectorEncoder
            The encoder. The order of merging does not change the result.

        Raises
        ------
        ValueError
            If the parameters differ, or one of the two holds no counts.
        TypeError
            If `other` is not a WordVectorEncoder.
        """
        check_can_merge(self, other, [name for name in self.get_params() if name not in ("n_jobs", "device")])
        self._add_counts(self._known_counts().merge(other._known_counts(), self._bounds(), self.n_jobs))
        return self

    @fit_context(prefer_skip_nested_validation=True)
    def continue_fit(self, X, y=None, *, weight=1) -> Self:
        """Continue training on the texts of a domain.

        Counts of the texts are added to those of the encoder, and words that become frequent enough are added. The new
        vectors are rotated onto the old ones (if they have the same length) by the orthogonal Procrustes solution [1]_,
        so that a model trained on the old ones remains valid as far as the words have kept their meaning.

        An encoder without counts, such as "english", one from a file of vectors or a student, keeps its vectors as the
        first components. They are followed by `N_BESIDE` components that are trained on these texts alone, scaled to
        the same mean square.

        Parameters
        ----------
        X : iterable of str, length n_texts
            Texts of the domain.
        y : None
            Ignored; here for scikit-learn's API.
        weight : int, default=1
            Number of times that the texts are counted. More than once up-weights a small domain relative to a large
            corpus. Only for an encoder with counts.

        Returns
        -------
        self : WordVectorEncoder
            The encoder. With counts, it equals one fitted on all texts, up to the rotation, and :meth:`adapt_idf` is
            undone. Without, words keep their weights, and new ones get that of the rarest word.

        Raises
        ------
        ValueError
            If `weight` is not a positive int, or is larger than 1 for an encoder without counts.

        References
        ----------
        .. [1] P. Schönemann (1966). A generalized solution of the orthogonal Procrustes problem.
           Psychometrika 31 (1), 1-10.

        Examples
        --------
        >>> from transferkit import load
        >>> encoder = load("english").continue_fit(["a zyx is a fruit", "the zyx is a sweet fruit"] * 5)
        >>> "zyx" in encoder.vocabulary_
        True
        """
        check_is_fitted(self)
        if not isinstance(weight, Integral) or weight < 1:
            raise ValueError(f"The 'weight' of continue_fit must be an int of at least 1. Got {weight!r} instead.")
        self._settle()
        if self._counts is None:
            return self._train_beside(X, weight)
        known = self._known_counts()
        counts = known.merge(self._count(WordCounts(), X).scaled(int(weight)), self._bounds(), self.n_jobs)
        learned = self._learn(counts)
        old, new = self._vectors_of_shared_words(learned["_words"], learned["_vectors"])
        if old.shape[1] == new.shape[1]:
            rotation = rotation_onto(new, old)
            for name in ("_vectors", "_common", *(["_ngram_vectors"] if self.subword else [])):
                learned[name] = learned[name] @ rotation
        vars(self).update(learned, _counts=counts.to_state(), _keeps_counts=True)
        return self

    def adapt_idf(self, X) -> Self:
        """Replace the weights of words by those in the given texts; the vectors stay the same.

        Parameters
        ----------
        X : iterable of str, length n_texts
            Texts of a task.

        Returns
        -------
        self : WordVectorEncoder
            The encoder with new `idf_` and `frequency_`, and, for ``pooling='sif'``, a new common direction.
        """
        self._settle()
        documents = list(check_documents(X, (str,)))
        terms, analyzer = self._words.terms_, find_analyzer(self._words)
        counted, n_documents, _ = count_given_terms(analyzer, terms.vocabulary, documents, self.n_jobs)
        order = np.argsort(terms.columns)
        total = counted.total[order]
        frequency = total / max(total.sum(), 1)
        words, n_unknown = self._words.encode(documents)
        warn_of_unknown_texts(self, n_unknown)
        rows = mean_rows(words, smooth_inverse_frequency(frequency, self.sif_weight), self._vectors)
        self._idf = inverse_document_frequency(counted.document_frequency[order], n_documents, True, np.float32)
        self._frequency, self._common = frequency, common_direction(rows)
        return self

    def transform(self, X) -> np.ndarray:
        """Return the vectors of texts, pooled from those of their words.

        Parameters
        ----------
        X : iterable of str, length n_texts
            Texts: list, NumPy array, generator, pandas or polars Series.

        Returns
        -------
        embeddings : ndarray of shape (n_texts, n_features), float32
            One row per text; zeros for a text without a known word (with `subword`, without a known n-gram).
        """
        self._settle()
        documents = list(check_documents(X, (str,))) if self.subword else X
        words, n_unknown = self._words.encode(documents)
        vectors, weights = self._vectors, self._weights_of_words()
        if self.subword:
            words, vectors, weights = self._add_unseen_words(documents, words, weights)
        parts = [self._pool(part, words, vectors, weights) for part in self.pooling.split("+")]
        if n_unknown and not parts[0].any():  # n-grams of other words may be known
            warn_of_unknown_texts(self, n_unknown)
        if self.norm is not None:
            parts = [unit_rows(part) for part in parts]
        return parts[0] if len(parts) == 1 else np.hstack(parts)

    def most_similar(self, word, n=10):
        """Return the words whose vectors have the largest cosine similarity to that of a word.

        Parameters
        ----------
        word : str or array-like of shape (n_components,)
            A word, which is left out of the result, or any vector. A word that is not in the vocabulary as it is
            written is looked up as it would be in a text: in lower case, for example.
        n : int, default=10
            Number of words.

        Returns
        -------
        similar : list of (str, float)
            Words with the cosines of their vectors, nearest first.

        Raises
        ------
        KeyError
            If the word is not in the vocabulary (with `subword`, if none of its n-grams is known either).
        ValueError
            If `n` is negative or not an int.
        """
        check_count("n", n, "most_similar")
        self._settle()
        if isinstance(word, str):
            rows, (vector,) = self._look_up(word)
            return self._name_nearest(vector, n, rows)
        return self._name_nearest(np.asarray(word, np.float32), n, [])

    def analogy(self, a, b, c, n=10):
        """Return words that relate to c as b relates to a.

        Parameters
        ----------
        a, b, c : str
            Words, looked up as in :meth:`most_similar` and left out of the result: "man", "king", "woman" asks
            for "queen".
        n : int, default=10
            Number of words.

        Returns
        -------
        answers : list of (str, float)
            Words with the cosines of their vectors and b - a + c, all of unit length, nearest first.

        Raises
        ------
        KeyError
            If a word is not in the vocabulary (with `subword`, if none of its n-grams is known either).
        ValueError
            If `n` is negative or not an int.
        """
        check_count("n", n, "analogy")
        self._settle()
        rows, vectors = self._look_up(a, b, c)
        first, second, third = unit_rows(np.stack(vectors))
        return self._name_nearest(second - first + third, n, rows)

    def similarity(self, a, b):
        """Return the cosine similarity of the vectors of two words.

        Parameters
        ----------
        a, b : str
            Words, looked up as in :meth:`most_similar`.

        Returns
        -------
        cosine : float
            From -1 to 1.

        Raises
        ------
        KeyError
            If a word is not in the vocabulary (with `subword`, if none of its n-grams is known either).
        """
        self._settle()
        first, second = unit_rows(np.stack(self._look_up(a, b)[1]))
        return float(first @ second)

    def as_linear(self):
        """Return the encoder as a linear map of words.

        Returns
        -------
        form : LinearForm
            Counts of words, the weights of their mean, and their vectors. Words outside the vocabulary, which get
            vectors with `subword`, are not part of it.

        Raises
        ------
        NotLinearError
            If `pooling` takes a maximum.
        """
        self._settle()
        if "max" in self.pooling:
            raise NotLinearError(f"WordVectorEncoder with pooling={self.pooling!r} is not linear in words")
        removed = self._common if self.pooling == "sif" else None
        return LinearForm(self._words, self._weights_of_words(), True, self._vectors, removed, self.norm)

    def term_projection(self):
        """Return the word vectors with the encoder of words that they belong to.

        Returns
        -------
        projection : TermProjection
            The encoder of words, their vectors and inverse document frequencies.
        """
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
        rows = mean_weights(words, self._weights_of_words())
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
        other = copy(self)
        described = self._describe(self._words, layers[0].weights, self._frequency, self._idf)
        vars(other).update(described, _counts=None, _keeps_counts=False)
        _forget_teacher(other)  # the fidelity is that of the vectors before
        return other

    def quantise(self) -> Self:
        """Return a copy whose vectors are written as 8-bit integers: files and pickles take a quarter of the size.

        Each component is rounded to 255 levels between minus and plus its largest magnitude. In memory, the copy has
        the rounded vectors as float32.

        Returns
        -------
        encoder : WordVectorEncoder
            The copy, without the counts that `partial_fit`, `merge` and `continue_fit` need. Vectors that are trained
            further are written as float32 again.
        """
        self._settle()
        other = copy(self)
        levels, scales = quantise_array(self._vectors, "int8")
        vars(other).update(_counts=None, _keeps_counts=False, **_read_levels(levels, scales))
        return other

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
        return WordPass(self._count, self._bounds(), partial(self._become_fitted, keeps_counts=keep_statistics))

    def finish_loading(self, trusted):
        """Compute the vectors that the file holds as integers.

        Parameters
        ----------
        trusted : Trusted
            The classes, functions and names that the caller of `load` trusts.
        """
        self._restore_vectors()

    @property
    def vectors_(self):
        """Word vectors, shape (n_words, n_components)."""
        self._settle()
        return self._vectors

    @property
    def vocabulary_(self):
        """Row of each word."""
        self._settle()
        return self._words.vocabulary_

    @property
    def frequency_(self):
        """Share of each word, shape (n_words,)."""
        self._settle()
        return self._frequency

    @property
    def idf_(self):
        """Inverse document frequency of each word, shape (n_words,)."""
        self._settle()
        return self._idf

    @property
    def n_documents_(self):
        """Number of texts that the encoder was fitted to."""
        check_is_fitted(self)
        return self._known_counts().n_documents if self._is_stale else self._words.n_documents_

    @property
    def vocabulary_error_(self):
        """Bound on the error of the count of a word."""
        self._settle()
        return vars(self).get("_vocabulary_error", 0)  # missing in loaded vectors and earlier files

    @property
    def pair_error_(self):
        """Bound on the error of the count of a pair."""
        self._settle()
        return vars(self).get("_pair_error", 0)  # missing in loaded vectors and earlier files

    @property
    def loss_curve_(self):
        """Objective in each epoch of training."""
        self._settle()
        return vars(self).get("_losses", [])  # missing in earlier files

    @property
    def _n_features_out(self):
        self._settle()
        return self._vectors.shape[1] * len(self.pooling.split("+"))

    def __sklearn_is_fitted__(self):
        return "_is_stale" in vars(self)

    def __getstate__(self):
        if not is_fitted(self):
            return super().__getstate__()
        self._settle()
        state = super().__getstate__()
        if state.get("_levels") is not None:
            state = {name: value for name, value in state.items() if name not in ("_vectors", "_lengths")}
        return state if self._keeps_counts else {**state, "_counts": None}

    def __setstate__(self, state):
        super().__setstate__(state)
        self._restore_vectors()

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        tags.transformer_tags.preserves_dtype = []
        return tags

    def _restore_vectors(self):
        if vars(self).get("_levels") is not None:
            vars(self).update(_read_levels(self._levels, self._scales))

    def _count(self, counts, X, sample=None):
        """Return the counts with those of more texts added."""
        analyzer = replace(make_analyzer(self._make_words()), sample=sample)
        warn_for_parameters(analyzer.vectorizer)
        return counts.add(analyzer, check_documents(X, (str,)), self.window, self._bounds(), self.n_jobs)

    def _make_words(self):
        """Return an encoder of texts as counts of words, not fitted, after checking what constraints cannot."""
        lengths = self.ngram_range
        if not (len(lengths) == 2 and all(isinstance(n, Integral) for n in lengths) and 1 <= lengths[0] <= lengths[1]):
            raise ValueError(
                "The 'ngram_range' parameter of WordVectorEncoder must be (min_n, max_n) with 1 <= min_n <= max_n. "
                f"Got {lengths!r} instead."
            )
        return TfidfEncoder(norm=None, use_idf=False, **{name: getattr(self, name) for name in _TEXT_PARAMETERS})

    def _bounds(self):
        return Bounds(self.max_pairs, self.max_vocabulary)

    def _known_counts(self):
        if self._counts is None and "fidelity_" in vars(self):
            raise ValueError(
                "This WordVectorEncoder is the student of another encoder and holds no counts, so it cannot be fitted "
                "further or merged. Call WordVectorEncoder.distil with all texts instead."
            )
        if self._counts is None:
            raise ValueError(
                "This WordVectorEncoder holds no counts, so it cannot be fitted further: its vectors were loaded, or "
                "it was fitted with fit and then pickled or saved. Fit it with partial_fit, which keeps the counts."
            )
        return WordCounts.from_state(self._counts)

    def _add_counts(self, counts):
        """Keep new counts; the vectors are computed when they are next needed."""
        vars(self).update(_counts=counts.to_state(), _keeps_counts=True, _is_stale=True)

    def _settle(self):
        """Check that the encoder is fitted, and compute the vectors if counts were added since they last were."""
        check_is_fitted(self)
        if self._is_stale:
            with _finishing:
                if self._is_stale:  # another thread may have computed them meanwhile
                    learned = self._learn(self._known_counts())
                    is_stale = learned.pop("_is_stale")
                    vars(self).update(learned)
                    self._is_stale = is_stale  # last, as other threads use the vectors from here on

    def _become_fitted(self, counts, keeps_counts):
        state = counts.to_state() if keeps_counts else None
        vars(self).update(self._learn(counts), _counts=state, _keeps_counts=keeps_counts)
        return self

    def _learn(self, counts, on_epoch=lambda read: False, sample=None, on_iteration=lambda: None):
        """Return the fitted attributes that follow from the counts."""
        terms = counts.terms
        if len(terms.hashes) == 0:
            raise ValueError(describe_empty_vocabulary(self, sample))
        chosen = self._choose_words(counts)
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
        vectors, losses = train_vectors(pairs, self, lambda read: on_epoch(lambda: attributes(read())), on_iteration)
        _warn_of_zero_vectors(vectors, self.n_components)
        return attributes(vectors, losses)

    def _describe(self, words, vectors, frequency, idf):
        """Return the fitted attributes for vectors and weights of the columns of an encoder of words."""
        # Texts of independent words agree most along the mean of the weighted vectors.
        mean = sum_of_rows(frequency * smooth_inverse_frequency(frequency, self.sif_weight), vectors)
        buckets, ngram_vectors = None, None
        if self.subword:
            names = words.get_feature_names_out().tolist()
            buckets, ngram_vectors = learn_subwords(names, vectors, self.ngram_range, self.n_buckets, self.n_jobs)
        return {
            "_ngram_buckets": buckets,
            "_ngram_vectors": ngram_vectors,
            "_words": words,
            "_vectors": vectors,
            "_levels": None,
            "_lengths": row_lengths(vectors),
            "_frequency": frequency,
            "_idf": idf,
            "_common": unit_rows(mean[None])[0].astype(np.float32),
            "_is_stale": False,
        }

    def _load(self, read):
        """Become fitted with the words, vectors and shares of words (up to a factor) that `read(analyze)` returns."""
        self._validate_params()
        counter = self._make_words()
        analyzer = make_analyzer(counter)
        words, vectors, shares = read(analyzer.analyze)
        warn_of_words_no_text_gives(words, make_analyzer(self._make_words().set_params(stop_words=None)).analyze)
        terms, rows = index_given_vocabulary(words, analyzer)
        frequency = shares / shares.sum()
        idf = (1 + np.log(shares.max() / np.maximum(shares, np.finfo(np.float64).tiny))).astype(np.float32)
        self.n_components = vectors.shape[1]
        described = self._describe(counter.set_terms(TermStatistics(terms, 0), rows), vectors, frequency, idf)
        vars(self).update(described, _losses=[], _counts=None, _keeps_counts=False)
        return self

    @fit_context(prefer_skip_nested_validation=True)
    def _learn_from(self, teacher, texts, beside, options):
        """Become fitted as the student of a teacher."""
        documents, sample = list(check_documents(texts, (str,))), TextSample()
        analyzer = replace(make_analyzer(self._make_words()), sample=sample)
        warn_for_parameters(analyzer.vectorizer)
        statistics = count_corpus(analyzer, documents, self.n_jobs, self.max_vocabulary)
        if len(statistics.terms.hashes) == 0:
            raise ValueError(describe_empty_vocabulary(self, sample))
        chosen = self._choose_words(WordCounts(statistics.terms))
        known = None if beside is None else beside.term_projection()
        joined, columns = join_words(statistics, chosen, None if known is None else known.words)
        words = self._make_words().set_terms(joined, columns)
        frequency, document_frequency = np.zeros(len(columns)), np.zeros(len(columns), np.int64)
        frequency[columns] = joined.terms.total / joined.terms.total.sum()
        document_frequency[columns] = joined.terms.document_frequency
        idf = inverse_document_frequency(document_frequency, joined.n_documents, True, np.float32)

        def begin(n_batches):
            progress = FitProgress(self, n_batches, "texts")
            progress.begin(documents, None, None)
            return progress

        student = fit_student(teacher, documents, words, **options, begin=begin)
        vectors = student.vectors if known is None else append_scaled(known.vectors, student.vectors)
        self.n_components = vectors.shape[1]
        learned = self._describe(words, vectors, frequency, idf)
        learned |= {"fidelity_": student.fidelity, "n_held_out_": student.n_held_out, "_vocabulary_error": joined.error}
        learned |= {"_losses": [], "_counts": None, "_keeps_counts": False}
        vars(self).update(learned)
        student.progress.end(learned)
        warn_of_lost_words(self, sample)
        return self

    def _choose_words(self, counts):
        """Return the places of the words to keep in the vocabulary of counts, the most frequent ones first."""
        chosen = counts.choose(self.min_count, self.max_features)
        if len(chosen) == 0:
            raise ValueError(f"No word occurs min_count={self.min_count} times. Use a lower min_count or more texts.")
        return chosen

    def _train_beside(self, X, weight):
        """Put vectors that are trained on texts alone beside those of the encoder, which has no counts."""
        if weight != 1:
            raise ValueError(
                f"The 'weight' of continue_fit counts texts {weight} times, but this WordVectorEncoder holds no counts "
                "to which they could be added. Leave it out."
            )
        parameters = self.get_params() | {"n_components": N_BESIDE, "subword": False}
        own = type(self)(**parameters).fit(X)
        terms, columns = own._words.terms_.kept
        joined, all_columns = join_words(own._words.terms_.statistics(), np.argsort(columns), self._words)
        words = self._make_words().set_terms(joined, all_columns)
        beside = np.zeros((len(all_columns), own.vectors_.shape[1]), np.float32)
        frequency = np.zeros(len(all_columns))
        places = words.terms_.columns_of(terms)
        beside[places], frequency[places] = own.vectors_[columns], own.frequency_[columns]
        frequency[: len(self._frequency)] = self._frequency
        idf = np.full(len(all_columns), self._idf.max(), np.float32)
        idf[: len(self._idf)] = self._idf
        vectors = append_scaled(self._vectors, beside)
        self.n_components = vectors.shape[1]
        vars(self).update(self._describe(words, vectors, frequency / frequency.sum(), idf), _losses=own.loss_curve_)
        _forget_teacher(self)
        return self

    def _vectors_of_shared_words(self, words, vectors):
        """Return the current vectors of the words that another encoder of words shares, and its vectors of them."""
        before = self._words.terms_
        rows = words.terms_.columns_of(before.vocabulary)
        return self._vectors[before.columns[rows >= 0]], vectors[rows[rows >= 0]]

    def _weights_of_words(self):
        """Return the weight of each word in the mean of a text; None if all have the same weight."""
        if self.pooling == "sif":
            sources = self._frequency, self.sif_weight
            return _sif_weights.get(self, sources, lambda: smooth_inverse_frequency(*sources))
        return self._idf if self.pooling == "tfidf" else None

    def _add_unseen_words(self, documents, words, weights):
        """Return word counts, vectors and weights with unseen words added, weighted like the rarest known word."""
        analyzer = find_analyzer(self._words)
        names, counts = count_unseen_words(analyzer, self._words.terms_, documents, self.n_jobs)
        used = np.unique(words.indices)
        counts = sparse.hstack([words[:, used], counts], format="csr", dtype=np.float32)
        vectors = np.concatenate([self._vectors[used], self._spell(names)])
        if weights is not None:
            largest = weights.max() if self.pooling == "tfidf" else 1  # 'sif' gives 1 for a share of zero
            weights = np.concatenate([weights[used], np.full(len(names), largest, np.float32)])
        return sparse.csr_matrix(counts), vectors, weights

    def _spell(self, names):
        return spell_vectors(names, self._ngram_buckets, self._ngram_vectors, self.ngram_range, self.n_buckets)

    def _pool(self, pooling, words, vectors, weights):
        if pooling == "max":
            return max_rows(words, vectors)
        rows = mean_rows(words, weights, vectors)
        return remove_direction(rows, self._common) if pooling == "sif" else rows

    def _look_up(self, *words):
        """Return the rows of words (-1 for words outside the vocabulary), and their vectors."""
        rows, names = self._words.terms_.find_columns(words), list(words)
        unknown = [k for k, row in enumerate(rows) if row < 0]
        if unknown:
            analyze = find_analyzer(self._words).analyze
            for k in unknown:  # as the word would be found in a text
                tokens = analyze(words[k])
                names[k] = tokens[0] if len(tokens) == 1 else words[k].lower() if self.lowercase else words[k]
            rows = self._words.terms_.find_columns(names)
        vectors = [self._vectors[row] for row in rows]
        unseen = [k for k, row in enumerate(rows) if row < 0]
        if unseen and self.subword:
            for k, vector in zip(unseen, self._spell([names[k] for k in unseen]), strict=True):
                vectors[k] = vector
        for k in unseen:
            if not self.subword or not vectors[k].any():
                raise KeyError(f"The word {words[k]!r} is not in the vocabulary.")
        return rows, vectors

    def _name_nearest(self, target, n, excluded):
        rows, cosines = nearest_rows(self._vectors, self._lengths, target, n, excluded)
        names = self._words.get_feature_names_out()
        return [(names[row], float(cosine)) for row, cosine in zip(rows, cosines, strict=True)]


def _check_beside(beside, parameters):
    """Raise an error unless `beside` is a fitted encoder of words, whose way of splitting texts `parameters` keep."""
    if not isinstance(beside, WordVectorEncoder):
        raise TypeError(f"The 'beside' argument of distil must be a WordVectorEncoder. Got {beside!r}.")
    check_is_fitted(beside)
    given = [name for name in _TEXT_PARAMETERS if name in parameters and name != "n_jobs"]
    different = [name for name in given if not np.array_equal(parameters[name], getattr(beside, name))]
    if different:
        raise ValueError(f"Texts are split into words as 'beside' of distil splits them. Omit {different}.")


def _read_levels(levels, scales):
    """Return the attributes of vectors that are stored as integers, and a scale for each component."""
    if not (levels.dtype == np.int8 and levels.ndim == 2 and scales.shape == (levels.shape[1],)):
        raise ValueError(f"vectors are stored as {levels.dtype} {levels.shape} with scales {scales.shape}")
    vectors = dequantise(levels, scales)
    return {"_levels": levels, "_scales": scales, "_vectors": vectors, "_lengths": row_lengths(vectors)}


def _forget_teacher(encoder):
    """Remove what `distil` recorded."""
    for name in ("fidelity_", "n_held_out_"):
        vars(encoder).pop(name, None)


def _warn_of_zero_vectors(vectors, n_components):
    n_zero = int((~vectors.any(axis=1)).sum())
    if n_zero > len(vectors) / 2:
        warnings.warn(
            f"{n_zero} of {len(vectors)} words have vectors of zeros: they co-occur with no word more often than "
            f"expected by chance, or their co-occurrences lie beyond the n_components={n_components} leading "
            "components. Vectors are trained on words that occur near each other in a text: texts of one word give "
            "none.",
            UserWarning,
            stacklevel=count_inner_frames(),
        )
