"""Choice of the unlabelled samples that are worth labelling next."""

import os
import warnings
from numbers import Integral
from typing import Literal, NamedTuple

import numpy as np
import scipy.sparse as sp
from scipy.special import softmax
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.utils import check_random_state

from transferkit._algorithms.rows.clusters import check_squares
from transferkit._algorithms.rows.coverage import Similarity, choose_representatives
from transferkit._algorithms.rows.digests import digest_samples
from transferkit._validation import (
    Interval,
    StrOptions,
    check_features,
    check_probabilities,
    check_texts,
    count_rows,
    holds_texts,
    take_rows,
    validate_parameter_constraints,
    with_plain_outputs,
)
from transferkit.encoders import PretrainedEncoder
from transferkit.exceptions import count_inner_frames
from transferkit.persistence import load_shared

__all__ = ["suggest_labels"]

MOST_SAMPLED = 4000  # unlabelled samples that are compared with each other: their similarities take 64 MB
MOST_AT_ONCE = 500  # suggestions from one such sample
NEAR_DUPLICATE = 0.9  # similarity beyond which one of two samples is enough
LEAST_UNCERTAINTY = 0.01  # so that typical samples are suggested where the model is certain about all
MOST_UNCERTAIN = 0.5  # margin up to which a reason says "uncertain"


@with_plain_outputs
def suggest_labels(
    X_unlabelled,
    n: int,
    *,
    encoder: BaseEstimator | str | os.PathLike[str] | None,
    model: BaseEstimator | str | os.PathLike[str] | None = None,
    X_labelled=None,
    method: Literal["auto", "typical", "uncertain"] = "auto",
    random_state: int | np.random.RandomState | None = 0,
) -> dict[str, np.ndarray]:
    """Suggest which unlabelled samples to label next, with a reason for each.

    The suggested samples are those to which all others are, together, most similar (facility location [1]_): typical
    ones of each region that no labelled sample and no other suggestion represents yet. With a model, what a sample adds
    is multiplied by its uncertainty, one less the margin between its two most probable classes [2]_: at first the model
    is uncertain about nearly all samples, with more labels about those between classes.

    Parameters
    ----------
    X_unlabelled : iterable of str, array-like or sparse matrix of shape (n_samples, n_features)
        Raw input of the unlabelled samples, as the encoder accepts it.
    n : int
        Number of suggestions.
    encoder : path, fitted transformer or None
        Samples with similar embeddings are similar. None takes numeric samples as they are.
    model : path or fitted classifier, default=None
        Trained on the labels so far; it predicts raw input. With `predict_proba`, or with `decision_function`, to which
        a softmax is applied. It may use another encoder.
    X_labelled : iterable of str, array-like or sparse matrix of shape (n_labelled, n_features), default=None
        Raw input of the labelled samples. Neither these nor near duplicates of them are suggested.
    method : {"auto", "typical", "uncertain"}, default="auto"
        "typical" suggests without the model, "uncertain" with it. "auto" is "uncertain" if there is a model.
    random_state : int, RandomState instance or None, default=0
        Seed of the sample that is drawn from more than 4,000 unlabelled samples.

    Returns
    -------
    suggestions : dict of ndarray
        Columns of a table, the most useful suggestion first, so that the first few are good suggestions, too
        (``pandas.DataFrame(suggestions)`` shows it). ``"index"``: the position in X_unlabelled. ``"reason"``: a str.
        ``"share"``: the share of unlabelled samples to which this one is more similar than any other suggestion or
        labelled sample. ``"margin"``: the difference between the probabilities of its two most probable classes, NaN
        without a model.

    Raises
    ------
    ValueError
        If there are fewer unlabelled samples than `n`, all of them are labelled or empty, the encoder or the model does
        not accept them, or features or probabilities are not finite.
    NotFittedError
        If the encoder or the model is not fitted.

    Warns
    -----
    UserWarning
        If there are fewer suggestions than `n`, because too few distinct samples remain.

    See Also
    --------
    rank_encoders : Which encoder suits the labels so far.

    Notes
    -----
    The suggestions depend on the distinct samples, not on their order or on the number of copies. Samples that are more
    similar than 0.9 to a labelled or suggested one are suggested only when no others remain. The similarity of texts is
    the squared cosine of their embeddings after the mean is subtracted, 0 if the cosine is negative. That of numeric
    samples is (1 - d^2 / m)^2, 0 if d^2 > m, where d is their Euclidean distance and m the mean squared distance, so
    scale the features first. Time and memory are bounded by the sample of 4,000.

    Suggested samples are not a random sample: the shares of the classes among them, and accuracies that a model trained
    on them has in cross-validation, are not those of all samples. Label a random sample for testing.

    References
    ----------
    .. [1] K. Wei, R. Iyer, J. Bilmes (2015). Submodularity in data subset selection and active learning. ICML.
    .. [2] B. Settles, M. Craven (2008). An analysis of active learning strategies for sequence labeling tasks. EMNLP.

    Examples
    --------
    >>> from transferkit import LSAEncoder, suggest_labels
    >>> texts = ["the cat ran", "the cat sat", "cat ran and sat", "a cat sat and ran"]
    >>> texts += ["a stock rose", "a stock fell", "stock rose and fell"]
    >>> encoder = LSAEncoder(n_components=2, min_df=1, stop_words="english").fit(texts)
    >>> suggestions = suggest_labels(texts, 2, encoder=encoder)
    >>> [texts[i] for i in suggestions["index"]]
    ['cat ran and sat', 'a stock fell']
    >>> suggestions["reason"][0]
    'typical: nearest to 57.1 % of the texts'
    """
    _check_parameters(n, method, model)
    X, known = _check_input(X_unlabelled, X_labelled, n)
    texts = holds_texts(X)
    encode = _open_encoder(encoder, texts)
    predict = None if model is None or method == "typical" else _open_model(model)
    queue = _find_distinct(X, known)
    if len(queue) < n:
        _warn_of_few(len(queue), n)
    queue = check_random_state(random_state).permutation(queue)
    represented = None if known is None else encode(known, "X_labelled")
    rounds: list[dict[str, np.ndarray]] = []
    for n_wanted in _split(min(n, len(queue))):
        sample, queue = queue[:MOST_SAMPLED], queue[MOST_SAMPLED:]
        rows = take_rows(X, sample)
        features = encode(rows, "X_unlabelled")
        _check_same_width(features, represented)
        chosen, columns = _choose(features, represented, None if predict is None else predict(rows), n_wanted, texts)
        rounds.append({"index": sample[chosen]} | columns)
        queue = np.concatenate([queue, np.delete(sample, chosen)])
        represented = _stack(represented, features[chosen])
    return {name: np.concatenate([columns[name] for columns in rounds]) for name in rounds[0]}


class _Prediction(NamedTuple):
    """The two most probable classes of each sample, (n_samples, 2), the more probable one first."""

    labels: np.ndarray
    probabilities: np.ndarray

    @property
    def margins(self):
        return self.probabilities[:, 0] - self.probabilities[:, 1]


def _check_parameters(n, method, model):
    constraints = {
        "n": [Interval(Integral, 1, None, closed="left")],
        "method": [StrOptions({"auto", "typical", "uncertain"})],
    }
    validate_parameter_constraints(constraints, {"n": n, "method": method}, "suggest_labels")
    if method == "uncertain" and model is None:
        raise ValueError(
            "method='uncertain' needs a model: give one trained on the labels so far, or choose 'typical'."
        )


def _check_input(X, known, n):
    """Return unlabelled and labelled samples of the same kind; None for no labelled ones."""
    X = _read(X)
    if n > count_rows(X):
        raise ValueError(f"n={n} suggestions need as many unlabelled samples. Got {count_rows(X)}: give a smaller n.")
    is_collection = hasattr(known, "__len__") or hasattr(known, "shape")  # sparse matrices have no length
    if known is None or (is_collection and count_rows(known) == 0):
        return X, None
    if holds_texts(known) != holds_texts(X):
        kinds = ["texts" if holds_texts(rows) else "numeric samples" for rows in (X, known)]
        raise ValueError(f"X_unlabelled holds {kinds[0]} and X_labelled {kinds[1]}. Both must be of the same kind.")
    return X, _read(known)


def _read(rows):
    """Return texts as a list, and numeric samples in a form of which some can be taken."""
    if holds_texts(rows):
        return check_texts(rows)
    return rows.tocsr() if sp.issparse(rows) else rows


def _open_encoder(encoder, texts):
    """Return the function from raw samples to features."""
    if encoder is None and texts:
        raise ValueError("Texts need an encoder: give a fitted one or its file. Only numeric samples can do without.")
    transform = (lambda rows: rows) if encoder is None else PretrainedEncoder(encoder).fit().transform

    def encode(rows, name):
        try:
            features = check_features(transform(rows))
            check_squares(features, "suggest_labels")
            return features
        except (TypeError, ValueError) as error:
            raise ValueError(f"{name} cannot be encoded. {error}") from error

    return encode


def _check_same_width(features, represented):
    """Raise ValueError if labelled and unlabelled samples differ in width, which encoders check themselves."""
    if represented is not None and represented.shape[1] != features.shape[1]:
        raise ValueError(
            f"X_unlabelled has {features.shape[1]} features and X_labelled {represented.shape[1]}. Both must have the "
            "same."
        )


def _open_model(model):
    """Return the function from raw samples to predictions."""
    model = load_shared(model) if isinstance(model, (str, os.PathLike)) else model
    method = next((name for name in ("predict_proba", "decision_function") if hasattr(model, name)), None)
    if method is None:
        raise ValueError(
            f"The model is a {type(model).__name__}, which gives no probabilities: it has neither predict_proba nor "
            "decision_function. Give a classifier that has one, or choose method='typical'."
        )

    def predict(rows):
        try:
            found = getattr(model, method)(rows)
            found = found if method == "predict_proba" else _to_probabilities(np.asarray(found))
            labels, probabilities = check_probabilities(found, model.classes_, model)
        except NotFittedError:
            raise
        except (AttributeError, TypeError, ValueError) as error:  # of a model for other input
            raise ValueError(f"The model, a {type(model).__name__}, cannot predict X_unlabelled. {error}") from error
        order = np.argsort(-probabilities, axis=1, kind="stable")[:, :2]
        return _Prediction(labels[order], np.take_along_axis(probabilities, order, axis=1))

    return predict


def _to_probabilities(scores):
    """Return the softmax of decision values, of which there is one per sample for two classes."""
    return softmax(np.column_stack([np.zeros(len(scores)), scores]) if scores.ndim == 1 else scores, axis=1)


def _find_distinct(X, known):
    """Return the positions of distinct samples that are neither labelled nor empty, in an order of their content."""
    digests = digest_samples(X)
    if digests is None:  # without plain content, such as data frames of strings and numbers
        return np.arange(count_rows(X))
    labelled = set() if known is None else set(digest_samples(known) or ())
    empty = set(digest_samples([text for text in X if not text.strip()] or [""])) if holds_texts(X) else set()
    first = {digest: position for position, digest in reversed(list(enumerate(digests)))}
    found = [first[digest] for digest in sorted(first) if digest not in labelled and digest not in empty]
    if not found:
        raise ValueError("No sample is left to suggest: all of X_unlabelled are empty texts or are in X_labelled, too.")
    return np.array(found)


def _warn_of_few(n_suggested, n):
    warnings.warn(
        f"Only {n_suggested} of n={n} samples are suggested: the others are copies of these, empty texts, or in "
        "X_labelled, too.",
        UserWarning,
        stacklevel=count_inner_frames(),
    )


def _split(n):
    """Return the numbers of suggestions from one sample after the other."""
    return [min(MOST_AT_ONCE, n - begin) for begin in range(0, n, MOST_AT_ONCE)]


def _choose(features, represented, prediction, n, texts):
    """Return the positions of the samples to label, and the other columns of the table."""
    similarity = Similarity(features, angular=texts)
    similarities = similarity.between(features, features)
    covered = similarity.to_nearest(features, features[:0] if represented is None else represented)
    margins = np.full(len(covered), np.nan) if prediction is None else prediction.margins
    uncertainties = None if prediction is None else np.maximum(1 - margins, LEAST_UNCERTAINTY)
    chosen = choose_representatives(
        similarities, n, factors=uncertainties, covered=covered, most_similar=NEAR_DUPLICATE
    )
    shares = _measure_shares(similarities[chosen], covered)
    reasons = [_explain(share, prediction, i, texts) for share, i in zip(shares, chosen, strict=True)]
    return chosen, {"reason": np.array(reasons, dtype=object), "share": shares, "margin": margins[chosen]}


def _measure_shares(similarities, covered):
    """Return, for each chosen sample, the share of samples to which it is the most similar one, (n_chosen,)."""
    nearest = similarities.argmax(axis=0)[similarities.max(axis=0) > covered]
    return np.bincount(nearest, minlength=len(similarities)) / len(covered)


def _explain(share, prediction, i, texts):
    typical = f"nearest to {100 * share:.1f} % of the {'texts' if texts else 'samples'}"
    if prediction is None:
        return f"typical: {typical}"
    classes = [
        f"{label!r} {100 * p:.0f} %"
        for label, p in zip(prediction.labels[i].tolist(), prediction.probabilities[i], strict=True)
    ]
    if prediction.margins[i] > MOST_UNCERTAIN:
        return f"typical: {typical}, model: {classes[0]}"
    return f"uncertain: {' or '.join(classes)}, {typical}"


def _stack(represented, features):
    if represented is None:
        return features
    if sp.issparse(features):
        return sp.vstack([represented, features], format="csr")
    return np.vstack([represented, features])
