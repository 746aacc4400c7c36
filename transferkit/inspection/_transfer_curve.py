"""Accuracy against labels a class, with transfer and from scratch."""

from contextlib import contextmanager, nullcontext

import numpy as np
from sklearn.base import clone
from sklearn.metrics import get_scorer
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state

from transferkit._pictures import import_pyplot
from transferkit._validation import check_labels, check_same_length, check_texts, holds_texts, take_rows

_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_MARKERS = "osD^vP"


class TransferCurveDisplay:
    """Learning curves of models that transfer, beside one from scratch.

    Make it with :meth:`from_estimator`, or from scores that are there already.

    Parameters
    ----------
    n_labels : array-like of int of shape (n_sizes,)
        Labels a class.
    scores : dict of str to array-like of shape (n_sizes, n_draws)
        Scores on held-out rows, by the name of the model.
    score_name : str, default="accuracy"
        What the scores are; the label of the axis.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes of the picture.
    figure_ : matplotlib Figure
        Figure of the picture.
    lines_ : dict of str to matplotlib Line2D
        The curve of each model.

    See Also
    --------
    sklearn.model_selection.LearningCurveDisplay : Curves against the number of rows.

    Examples
    --------
    >>> from transferkit import TransferCurveDisplay
    >>> scores = {"transfer": [[0.80, 0.82], [0.85, 0.86]], "scratch": [[0.55, 0.60], [0.76, 0.77]]}
    >>> display = TransferCurveDisplay([8, 64], scores)
    >>> display.gain().round(3)
    array([0.235, 0.09 ])
    """

    def __init__(self, n_labels, scores, *, score_name="accuracy"):
        self.n_labels = n_labels
        self.scores = scores
        self.score_name = score_name

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        y,
        *,
        baseline=None,
        n_labels=(4, 8, 16, 32, 64),
        n_draws=5,
        test_size=0.3,
        scoring="accuracy",
        random_state=0,
        ax=None,
    ):
        """Train on draws of a few labels a class, score on held-out rows, and draw the curves.

        Parameters
        ----------
        estimator : classifier
            A :class:`TransferClassifier`, or any other.
        X : iterable of str, array-like or sparse matrix of shape (n_samples, n_features)
            Raw input.
        y : array-like of shape (n_samples,)
            Labels.
        baseline : classifier, default=None
            The model without transfer. None is `estimator` with ``strategy="scratch"``, which takes texts and rows of
            finite numbers.
        n_labels : sequence of int, default=(4, 8, 16, 32, 64)
            Labels a class; sizes for which a class has too few rows are left out.
        n_draws : int, default=5
            Draws of training and test rows; the same for both models.
        test_size : float, default=0.3
            Share of the rows to score on.
        scoring : str or callable, default="accuracy"
            A scorer of scikit-learn.
        random_state : int, RandomState instance or None, default=0
            Makes the draws.
        ax : matplotlib Axes, default=None
            Where to draw; None for a new figure.

        Returns
        -------
        display : TransferCurveDisplay
            The curves.
        """
        pyplot = import_pyplot("TransferCurveDisplay")
        X = check_texts(X) if holds_texts(X) else X
        y = check_labels(y)
        check_same_length(X, y)
        is_made = baseline is None
        if is_made:
            if "strategy" not in estimator.get_params():
                raise ValueError(
                    f"TransferCurveDisplay cannot make a {type(estimator).__name__} without transfer. Give one as "
                    "'baseline', such as make_pipeline(TfidfEncoder(), LogisticHead())."
                )
            baseline = clone(estimator).set_params(strategy="scratch")
        sizes = _possible_sizes(n_labels, y, test_size)
        scorer, random = get_scorer(scoring), check_random_state(random_state)
        scores = {name: np.empty((len(sizes), n_draws)) for name in ("transfer", "scratch")}
        for draw in range(n_draws):
            train, test = train_test_split(np.arange(len(y)), test_size=test_size, stratify=y, random_state=random)
            train = random.permutation(train)
            for i, size in enumerate(sizes):  # the smaller draw is part of the larger
                chosen = np.concatenate([train[y[train] == label][:size] for label in np.unique(y)])
                for name, model in (("transfer", estimator), ("scratch", baseline)):
                    with _explain_error(estimator, X) if is_made and name == "scratch" else nullcontext():
                        fitted = clone(model).fit(take_rows(X, chosen), y[chosen])
                    scores[name][i, draw] = scorer(fitted, take_rows(X, test), y[test])
        name = scoring if isinstance(scoring, str) else getattr(scoring, "__name__", "score")
        return cls(sizes, scores, score_name=name.replace("_", " ")).plot(
            ax if ax is not None else pyplot.subplots()[1]
        )

    def gain(self):
        """Return the mean score of the first model minus that of the last, for each number of labels.

        Returns
        -------
        gain : ndarray of shape (n_sizes,)
            In units of the score.
        """
        means = [np.mean(values, axis=1) for values in self.scores.values()]
        return means[0] - means[-1]

    def plot(self, ax=None):
        """Draw the curves: means, in a band from the lowest to the highest draw.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; None for a new figure.

        Returns
        -------
        display : TransferCurveDisplay
            The display.
        """
        if ax is None:
            ax = import_pyplot("TransferCurveDisplay").subplots()[1]
        self.ax_, self.figure_, self.lines_ = ax, ax.figure, {}
        for i, (name, values) in enumerate(self.scores.items()):
            values = np.asarray(values, float)
            style = {"color": _COLOURS[i % len(_COLOURS)], "marker": _MARKERS[i % len(_MARKERS)]}
            [self.lines_[name]] = ax.plot(self.n_labels, values.mean(axis=1), label=name, **style)
            band = {"color": style["color"], "alpha": 0.15, "linewidth": 0}
            ax.fill_between(self.n_labels, values.min(axis=1), values.max(axis=1), **band)
        ax.set(xscale="log", xlabel="labels a class", ylabel=self.score_name)
        ax.set_xticks(list(self.n_labels), [str(size) for size in self.n_labels])
        ax.minorticks_off()
        ax.grid(alpha=0.3)
        ax.legend(loc="lower right")
        return self


@contextmanager
def _explain_error(estimator, X):
    """Say what to give where strategy="scratch" fails because of X."""
    try:
        yield
    except (TypeError, ValueError) as error:
        if estimator._takes_raw_input(X, holds_texts(X)):
            raise
        raise ValueError(
            f"strategy='scratch' cannot learn from this X as it is ({error}). Give a model that takes it as 'baseline'."
        ) from error


def _possible_sizes(n_labels, y, test_size):
    smallest = int((1 - test_size) * np.unique(y, return_counts=True)[1].min())
    sizes = sorted(size for size in n_labels if 1 <= size <= smallest)
    if not sizes:
        raise ValueError(
            f"No size in n_labels={tuple(n_labels)!r} can be drawn: the smallest class leaves {smallest} rows to train "
            "on. Give smaller sizes or more rows."
        )
    return sizes
