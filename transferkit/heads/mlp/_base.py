"""What the network heads share: from checked data to fitted arrays."""

import math
import warnings
from itertools import pairwise

import numpy as np
from scipy.sparse import csr_array, issparse
from sklearn.callback import CallbackSupportMixin
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state

from transferkit._algorithms.linear.feature_blocks import FeatureBlocks
from transferkit._algorithms.networks.layers import Activation, BatchNorm, Dropout, Linear, predict
from transferkit._pictures import import_pyplot
from transferkit._progress import FitProgress
from transferkit._validation import (
    FLOATS,
    check_is_fitted,
    to_numpy,
    unchanged_on_error,
    validate_data,
    validate_rows,
)
from transferkit._versioning import VersionedEstimator
from transferkit.heads.linear._prior import KeepsSourceMixin
from transferkit.heads.mlp._parameters import check_together, make_options, read_hidden_sizes
from transferkit.heads.mlp._start import read_start

HISTORY_KEYS = ("loss", "learning_rate", "batch_size", "validation_score")


class MLPHead(KeepsSourceMixin, CallbackSupportMixin, VersionedEstimator):
    """Base of both network heads; they add how to read targets and what to make of outputs."""

    _source_parameter = "weight_init"

    fitted_attributes = (
        "batch_norms_",
        "coefs_",
        "compression_",
        "history_",
        "init_coverage_",
        "intercepts_",
        "learning_rate_curve_",
        "learning_rate_init_",
        "loss_",
        "loss_curve_",
        "n_iter_",
        "n_steps_",
        "optimiser_state_",
        "scales_",
        "validation_scores_",
    )

    def _fit(self, X, y, sample_weight, X_val, y_val):
        progress = FitProgress(self, self.max_iter, "epoch")
        with unchanged_on_error(self):
            check_together(self)
            X, y = self._validate(X, y)
            progress.begin(X, y, sample_weight)
            problem = self._read_problem(X, y, sample_weight)
            last = vars(self) if self.warm_start else {}
            rng = check_random_state(self.random_state)
            training, validation = self._split(problem, X_val, y_val, rng)
            start, coverage = choose_start(self, last, problem, X.shape[1], rng)
            options = self._options(problem, training, rng, max_epochs=self.max_iter)
            trained = self._train(
                start, training, options, problem, validation,
                on_epoch=lambda read, history: progress.step(
                    lambda: problem.attributes | read_attributes(read(), history)
                ),
            )  # fmt: skip
        fitted = problem.attributes | read_attributes(trained.layers, trained.history)
        fitted |= {"init_coverage_": coverage, "optimiser_state_": None}
        vars(self).update(fitted, **read_range_test(trained.range_test, self.learning_rate_init))
        progress.end(fitted)
        return self

    def _partial_fit(self, X, y, sample_weight, classes=None):
        whole = self.solver == "lbfgs" or self.learning_rate_init == "auto" or self.early_stopping
        if whole or self.swa is not None or self.prune_schedule is not None:
            raise ValueError(
                "partial_fit sees one part of the data at a time: it needs early_stopping=False, swa=None, "
                "prune_schedule=None, a number as learning_rate_init, and another solver than 'lbfgs'."
            )
        first = not hasattr(self, "coefs_")
        if not first and not is_plain(self.coefs_):
            raise ValueError("A pruned or quantised head cannot be trained on: give it as weight_init to a new one.")
        with unchanged_on_error(self):
            check_together(self)
            X, y = self._validate(X, y, reset=first)
            problem = self._read_problem(X, y, sample_weight, None if first else vars(self), classes)
            rng = check_random_state(self.random_state)
            if not first and not fits(vars(self), [X.shape[1], *read_hidden_sizes(self), problem.n_outputs], problem):
                raise ValueError("partial_fit cannot change the layers of a fitted head: use fit, or a new head.")
            start, coverage = choose_start(self, {} if first else vars(self), problem, X.shape[1], rng)
            done = 0 if first else self.n_iter_
            if self.learning_rate == "cosine" and done >= self.max_iter:
                warnings.warn(
                    f"learning_rate='cosine' is zero after max_iter={self.max_iter} epochs, and this is epoch "
                    f"{done + 1}: nothing is learned any more. Raise max_iter to the number of calls of partial_fit.",
                    UserWarning,
                    stacklevel=4,
                )
            seed_rng = rng if first else np.random.RandomState([rng.randint(2**31 - 1), done])
            past = {} if first else {"past_losses": self.history_["loss"], "past_steps": getattr(self, "n_steps_", 0)}
            options = self._options(
                problem, problem.rows, seed_rng, max_epochs=1, schedule_epochs=self.max_iter, **past
            )
            state = None if first else self.optimiser_state_
            trained = self._train(start, problem.rows, options, problem, optimiser_state=state, is_partial=True)
        fitted = problem.attributes | read_attributes(trained.layers, trained.history, {} if first else vars(self))
        vars(self).update(fitted, optimiser_state_=trained.optimiser_state)
        if first:
            vars(self).update(init_coverage_=coverage, **read_range_test(None, self.learning_rate_init))
        return self

    def _validate(self, X, y, reset=True):
        X = X.to_sparse() if isinstance(X, FeatureBlocks) else X
        return validate_data(
            self, to_numpy(X), to_numpy(y), accept_sparse="csr", dtype=FLOATS, multi_output=True, reset=reset,
            **self._target_checks,
        )  # fmt: skip

    def _options(self, problem, training, rng, **epochs):
        seed = int(rng.randint(2**31 - 2))
        return make_options(self, len(training[1]), seed, loss=self.loss, **epochs, **problem.loss_options)

    def _train(self, start, training, options, problem, validation=None, **others):
        from transferkit._training.network.data import Examples
        from transferkit._training.network.parameters import ParameterGroup
        from transferkit._training.network.training import train_network

        X, targets, weights = training
        held_out = None if validation is None else Examples(*validation)
        layers = make_layers(start, self, X.dtype)
        groups = [ParameterGroup(alpha=self.alpha)] * len(layers)
        examples = Examples(X, targets, weights)
        return train_network(layers, examples, options, validation=held_out, groups=groups, in_place=True, **others)

    def _split(self, problem, X_val, y_val, rng):
        """Return the rows to train on and those held out (None for none)."""
        X, targets, weights = problem.rows
        if (X_val is None) != (y_val is None):
            raise ValueError("X_val and y_val go together: give both or neither.")
        if X_val is not None:
            X_val, y_val = self._validate(X_val, y_val, reset=False)
            if issparse(X_val) != issparse(X):
                X_val = csr_array(X_val) if issparse(X) else X_val.toarray()
            return (X, targets, weights), (X_val.astype(X.dtype), self._read_validation(y_val, problem), None)
        if not self.early_stopping:
            return (X, targets, weights), None
        kept, held_out = hold_out(targets if problem.stratify else None, X.shape[0], self.validation_fraction, rng)
        parts = ((X[some], targets[some], None if weights is None else weights[some]) for some in (kept, held_out))
        return tuple(parts)

    def _compute_outputs(self, X):
        check_is_fitted(self, "coefs_")
        X = validate_rows(self, X.to_sparse() if isinstance(X, FeatureBlocks) else X)
        scales = getattr(self, "scales_", None) or [None] * len(self.coefs_)
        layers = []
        for coef, intercept, scale in zip(self.coefs_, self.intercepts_, scales, strict=True):
            layers += [Linear(coef, intercept, scale), Activation(self.activation)]
        return predict(layers[:-1], X)

    def plot_history(self, ax=None):
        """Draw loss and validation score over the epochs.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to draw; a new figure if None.

        Returns
        -------
        ax : matplotlib Axes
            The axes with the loss; the score has an axis of its own on the right.

        Raises
        ------
        MissingExtraError
            If matplotlib is not installed.
        """
        check_is_fitted(self, "coefs_")
        ax = import_pyplot("plot_history").subplots()[1] if ax is None else ax
        epochs = np.arange(1, self.n_iter_ + 1)
        ax.plot(epochs, self.history_["loss"], color="C0", label="loss")
        ax.set(xlabel="epoch", ylabel="mean training loss")
        if self.validation_scores_:
            right = ax.twinx()
            right.plot(epochs, self.validation_scores_, color="C1", label="validation score")
            right.set_ylabel("validation score")
        return ax

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


def hold_out(classes, n_rows, fraction, rng):
    """Return the numbers of the rows to train on and of those held out, class by class as far as that goes.

    Where a class has a single row, that row is trained on. Where fewer rows are held out than there are classes, they
    are drawn from all of them.
    """
    rows, single = np.arange(n_rows), np.arange(0)
    if classes is not None:
        _, numbers, counts = np.unique(classes, return_inverse=True, return_counts=True)
        is_single = counts[numbers.ravel()] == 1
        n_classes, n_others = (counts > 1).sum(), n_rows - is_single.sum()
        n_held = math.ceil(fraction * n_others)
        if n_classes == 0 or min(n_held, n_others - n_held) < n_classes:
            classes = None
        elif is_single.any():
            rows, single, classes = rows[~is_single], rows[is_single], classes[~is_single]
    kept, held = train_test_split(rows, test_size=fraction, random_state=rng, stratify=classes)
    return np.concatenate([kept, single]), held


def choose_start(head, last, problem, n_features, rng):
    """Return first weights, intercepts and batch norms, and how a source model covers the classes."""
    sizes = [n_features, *read_hidden_sizes(head), problem.n_outputs]
    if last.get("coefs_") is not None and fits(last, sizes, problem):
        norms = last["batch_norms_"] or [None] * len(last["coefs_"])
        if head.batch_norm and last["batch_norms_"] is None:
            norms = [*(fresh_norm(size) for size in sizes[1:-1]), None]
        layers = [
            (coef.copy(), intercept) if last["batch_norms_"] is None or norm is None else unfold(coef, intercept, norm)
            for coef, intercept, norm in zip(last["coefs_"], last["intercepts_"], norms, strict=True)
        ]
        return (*map(list, zip(*layers, strict=True)), norms), last.get("init_coverage_")
    coefs, intercepts, coverage = read_start(head, sizes, problem.labels, rng, problem.X.dtype)
    return (coefs, intercepts, [*(fresh_norm(size) for size in sizes[1:-1]), None]), coverage


def fits(last, sizes, problem):
    """Return whether the last solution answers the same problem with the same layers."""
    shapes = [getattr(coef, "shape", None) for coef in last["coefs_"]]
    same_classes = np.array_equal(last.get("classes_", ()), problem.attributes.get("classes_", ()))
    return same_classes and is_plain(last["coefs_"]) and shapes == list(pairwise(sizes))


def is_plain(coefs):
    """Return whether weights are neither sparse nor narrow."""
    return all(isinstance(coef, np.ndarray) and coef.dtype.itemsize >= 4 for coef in coefs)


def fresh_norm(size):
    """Return scale, shift, mean and variance of a batch normalisation that has seen nothing."""
    return np.stack([np.ones(size), np.zeros(size), np.zeros(size), np.ones(size)])


def unfold(coef, intercept, norm):
    """Return weights and intercept as they were before a batch normalisation was folded into them."""
    linear = BatchNorm(*norm).unfold_from(Linear(coef, intercept))
    return linear.weights, linear.intercept


def make_layers(start, head, dtype):
    """Return the layers of the network with their first arrays."""
    layers = []
    for coef, intercept, norm in zip(*start, strict=True):
        if layers:
            layers += [Activation(head.activation), *([Dropout(head.dropout)] if head.dropout > 0 else [])]
        layers.append(Linear(coef.astype(dtype, copy=False), intercept.astype(dtype, copy=False)))
        if head.batch_norm and norm is not None:
            layers.append(BatchNorm(*norm.astype(dtype, copy=False)))
    return layers


def read_attributes(layers, history, last=None):
    """Return the fitted attributes of trained layers, batch normalisation folded into the layer before it."""
    coefs, intercepts, norms = [], [], []
    for layer, following in zip(layers, [*layers[1:], None], strict=True):
        if not isinstance(layer, Linear):
            continue
        has_norm = isinstance(following, BatchNorm)
        folded = following.fold_into(layer) if has_norm else layer
        coefs.append(folded.weights)
        intercepts.append(folded.intercept)
        norms.append(
            np.stack([following.scale, following.shift, following.mean, following.variance]) if has_norm else None
        )
    before = (last or {}).get("history_", {})
    record = {key: [*before.get(key, []), *getattr(history, key)] for key in HISTORY_KEYS}
    return {
        "coefs_": coefs,
        "intercepts_": intercepts,
        "batch_norms_": norms if any(norm is not None for norm in norms) else None,
        "scales_": None,
        "compression_": None,
        "n_iter_": len(record["loss"]),
        "n_steps_": history.n_steps,
        "history_": record,
        "loss_curve_": list(record["loss"]),
        "loss_": record["loss"][-1],
        "validation_scores_": list(record["validation_score"]) or None,
    }


def read_range_test(found, given):
    """Return the attributes that tell where the learning rate comes from."""
    if found is None:
        return {"learning_rate_init_": given, "learning_rate_curve_": None}
    curve = {"learning_rate": found.rates, "loss": found.losses}
    return {"learning_rate_init_": found.chosen, "learning_rate_curve_": curve}
