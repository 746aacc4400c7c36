"""The base of the network heads: training, incremental fitting, outputs."""

import math
import warnings
from copy import copy
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from scipy.sparse import csr_array, issparse
from sklearn.callback import CallbackSupportMixin
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state

from transferkit._algorithms.linear.feature_blocks import FeatureBlocks
from transferkit._algorithms.networks.layers import BatchNorm, Linear, apply_activation
from transferkit._estimator import FitProgress, KeepsSourceMixin, VersionedEstimator
from transferkit._lazy import import_pyplot
from transferkit._validation import (
    FLOATS,
    check_is_fitted,
    to_numpy,
    unchanged_on_error,
    validate_data,
    validate_rows,
)
from transferkit.exceptions import count_inner_frames
from transferkit.heads.mlp._initial_weights import build_layers, continues, initial_layers, is_dense
from transferkit.heads.mlp._parameters import FULL_BATCH_SOLVERS, RANDOM_REGULARISERS, check_together, make_options

__all__ = ["MLPHead", "TrainingSet"]

HISTORY_KEYS = ("loss", "learning_rate", "batch_size", "validation_score")
# Epochs and steps of refits after pruning, chosen on a validation split of 20 Newsgroups with hidden layers of 256 and
# 128 units, 80 and 90 % pruned: longer training gains little there.
LEAST_EPOCHS, LEAST_STEPS = 20, 500
MOST_ITERATIONS = 200  # of L-BFGS


@dataclass(frozen=True)
class TrainingSet:
    """Samples and targets in the form that training takes.

    `X` holds the features of the samples with positive weight. `targets` are class indices (n_samples,) for a softmax,
    or probabilities (n_samples, n_outputs) for the same if `are_probabilities`; else (n_samples, n_outputs).
    `attributes` are fitted attributes that are known before training: `classes_` and `multilabel_` of a classifier.
    """

    X: Any
    targets: np.ndarray
    weights: np.ndarray | None = None
    attributes: dict = field(default_factory=dict)
    are_probabilities: bool = False

    @property
    def n_outputs(self):
        """Width of the output layer; 1 for two classes."""
        return len(self.attributes["classes_"]) if self.targets.ndim == 1 else self.targets.shape[1]

    @property
    def output_labels(self):
        """Classes if each sample has exactly one, else None."""
        return None if self.attributes.get("multilabel_", True) else self.attributes["classes_"]

    @property
    def strata(self):
        """Classes (n_samples,) by which samples are held out, the most probable ones of probabilities, or None."""
        if self.output_labels is None:
            return None
        if self.targets.ndim == 1:
            return self.targets
        return self.targets.argmax(1) if self.are_probabilities else self.targets[:, 0] > 0.5

    def take(self, chosen):
        """Return some of the samples, by their indices."""
        weights = None if self.weights is None else self.weights[chosen]
        return replace(self, X=self.X[chosen], targets=self.targets[chosen], weights=weights)


class MLPHead(KeepsSourceMixin, CallbackSupportMixin, VersionedEstimator):
    """Base of both network heads.

    Subclasses define `_check_targets(y)`, which checks targets; `_encode(X, y, sample_weight, fitted, classes)`, which
    returns a `TrainingSet`; and `_encode_validation(y, data)`, which returns the targets of a validation set.
    """

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

    def refit_nonzero(self, X, y, *, random_state=None, penalty=None, keep_near=False):
        """Return a copy of a fitted head whose non-zero weights are trained again; zeros stay zero.

        A network is trained with the solver and the regularisation of its parameters for 20 epochs and at least 500
        steps, while the learning rate falls to zero. A linear layer, or a head whose solver takes all samples in each
        step, is trained by L-BFGS.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets.
        random_state : int, RandomState instance or None, default=None
            Seed of the order of samples, dropout and augmentation.
        penalty : float, default=None
            Strength of the L2 penalty relative to the sum of the losses; `alpha`, relative to their mean, if None.
        keep_near : bool, default=False
            Whether to penalise the distance from the present weights instead of the weights.

        Returns
        -------
        head : MLPHead
            The copy, with new `coefs_` and `intercepts_`.
        """
        whole = len(self.coefs_) == 1 or self.solver in FULL_BATCH_SOLVERS
        found = _make_refitter(self, whole, random_state)._train_nonzero(X, y, whole, penalty, keep_near)
        refitted = copy(self)
        for name in ("coefs_", "intercepts_"):
            arrays = zip(found[name], getattr(self, name), strict=True)
            setattr(refitted, name, [array.astype(old.dtype) for array, old in arrays])
        return refitted

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def _fit(self, X, y, sample_weight, X_val=None, y_val=None, *, encode=None, to_labels=None):
        """Fit to checked targets y, of which `encode(X, y, sample_weight)` makes a training set (`_encode` if None).

        `to_labels(y)` returns targets for callbacks, which may score with them; y itself if None.
        """
        progress = FitProgress(self, self.max_iter, "epoch")
        with unchanged_on_error(self):
            check_together(self)
            X, y = self._validate(X, y)
            progress.begin(X, y if to_labels is None else to_labels(y), sample_weight)
            data = (encode or self._encode)(X, y, sample_weight)
            rng = check_random_state(self.random_state)
            training, validation = self._split(data, X_val, y_val, rng)
            layers, coverage = initial_layers(self, vars(self) if self.warm_start else {}, data, rng)
            options = self._options(training, rng, max_epochs=self.max_iter)
            trained = self._train(
                layers,
                training,
                options,
                validation=validation,
                on_epoch=lambda read_layers, history: progress.step(
                    lambda: data.attributes | _read_attributes(read_layers(), history)
                ),
            )
        fitted = data.attributes | _read_attributes(trained.layers, trained.history)
        fitted |= {"init_coverage_": coverage, "optimiser_state_": None}
        fitted |= _read_range_test(trained.range_test, self.learning_rate_init)
        vars(self).update(fitted)
        progress.end(fitted)
        return self

    def _partial_fit(self, X, y, sample_weight, classes=None):
        """Train for an epoch on checked targets y."""
        needs_all = self.solver == "lbfgs" or self.learning_rate_init == "auto" or self.early_stopping
        if needs_all or self.swa is not None or self.prune_schedule is not None:
            raise ValueError(
                "partial_fit sees one part of the data at a time: it needs early_stopping=False, swa=None, "
                "prune_schedule=None, a number as learning_rate_init, and another solver than 'lbfgs'."
            )
        if not hasattr(self, "coefs_"):
            last, n_done = {}, 0
        elif is_dense(self.coefs_):
            last, n_done = vars(self), self.n_iter_
        else:
            raise ValueError("A pruned or quantised head cannot be fitted further: use it as weight_init of a new one.")
        with unchanged_on_error(self):
            check_together(self)
            X, y = self._validate(X, y, reset=not last)
            data = self._encode(X, y, sample_weight, last or None, classes)
            rng = check_random_state(self.random_state)
            if last and not continues(self, last, data):
                raise ValueError("partial_fit cannot change the layers of a fitted head: use fit, or a new head.")
            layers, coverage = initial_layers(self, last, data, rng)
            if self.learning_rate == "cosine" and n_done >= self.max_iter:
                warnings.warn(
                    f"learning_rate='cosine' is zero after max_iter={self.max_iter} epochs, and this is epoch "
                    f"{n_done + 1}: the head does not change any more. Raise max_iter to the number of calls of "
                    "partial_fit.",
                    UserWarning,
                    stacklevel=count_inner_frames(),
                )
            past = {}
            if last:
                rng = np.random.RandomState([rng.randint(2**31 - 1), n_done])
                past = {"past_losses": self.history_["loss"], "past_steps": getattr(self, "n_steps_", 0)}
            options = self._options(data, rng, max_epochs=1, schedule_epochs=self.max_iter, **past)
            state = last.get("optimiser_state_")
            trained = self._train(layers, data, options, optimiser_state=state, is_partial=True)
        fitted = data.attributes | _read_attributes(trained.layers, trained.history, last)
        fitted |= {"optimiser_state_": trained.optimiser_state}
        if not last:
            fitted |= {"init_coverage_": coverage} | _read_range_test(None, self.learning_rate_init)
        vars(self).update(fitted)
        return self

    def _train_nonzero(self, X, y, whole, penalty, keep_near):
        """Return attributes after training the non-zero weights of this copy of a head; see `refit_nonzero`."""
        from transferkit._training.network.parameters import ParameterGroup

        X, y = self._validate(X, self._check_targets(y), reset=False)
        data = self._encode(X, y, None, vars(self))
        n_samples = data.X.shape[0]
        strength = self.alpha if penalty is None else penalty / n_samples
        rng = check_random_state(self.random_state)
        options = self._options(data, rng, max_epochs=MOST_ITERATIONS, keep_zeros=True)
        if not whole:
            n_epochs = max(LEAST_EPOCHS, math.ceil(LEAST_STEPS * options.batch_size / n_samples))
            options = replace(options, max_epochs=n_epochs)
        [first, *others], mean = self.intercepts_, np.zeros(data.X.shape[1])
        if whole and not issparse(data.X):  # so L-BFGS takes no more steps for features far from zero
            mean = data.X.mean(axis=0, dtype=np.float64)
            data = replace(data, X=(data.X - mean).astype(data.X.dtype))
        layers = build_layers(self, self.coefs_, [first + mean @ self.coefs_[0], *others], data.X.dtype)
        group = ParameterGroup(alpha=0 if keep_near else strength, anchor_strength=strength if keep_near else 0.0)
        trained = self._train(layers, data, options, group=group, in_place=False)
        found = _read_attributes(trained.layers, trained.history)
        found["intercepts_"][0] = found["intercepts_"][0] - mean @ found["coefs_"][0]
        return found

    def _validate(self, X, y, reset=True):
        X = X.to_sparse() if isinstance(X, FeatureBlocks) else X
        return validate_data(
            self, to_numpy(X), to_numpy(y), accept_sparse="csr", dtype=FLOATS, multi_output=True, reset=reset,
            **self._target_checks,
        )  # fmt: skip

    def _split(self, data, X_val, y_val, rng):
        """Return the training set and the validation set (None without one)."""
        if (X_val is None) != (y_val is None):
            raise ValueError("X_val and y_val go together: give both or neither.")
        if X_val is not None:
            X_val, y_val = self._validate(X_val, self._check_targets(y_val), reset=False)
            if issparse(X_val) != issparse(data.X):
                X_val = csr_array(X_val) if issparse(data.X) else X_val.toarray()
            return data, TrainingSet(X_val.astype(data.X.dtype), self._encode_validation(y_val, data))
        if not self.early_stopping:
            return data, None
        kept, held_out = hold_out(data.strata, data.X.shape[0], self.validation_fraction, rng)
        return data.take(kept), data.take(held_out)

    def _options(self, data, rng, **others):
        return make_options(self, data.X.shape[0], int(rng.randint(2**31 - 2)), **others)

    def _train(self, layers, data, options, *, validation=None, group=None, in_place=True, **others):
        from transferkit._training.network.parameters import ParameterGroup
        from transferkit._training.network.training import train_network

        return train_network(
            layers,
            _to_examples(data),
            options,
            groups=[group or ParameterGroup(alpha=self.alpha)] * len(layers),
            validation=None if validation is None else _to_examples(validation),
            in_place=in_place,
            **others,
        )

    def _compute_outputs(self, X):
        check_is_fitted(self, "coefs_")
        X = validate_rows(self, X.to_sparse() if isinstance(X, FeatureBlocks) else X)
        scales = getattr(self, "scales_", None) or [None] * len(self.coefs_)
        for position, arrays in enumerate(zip(self.coefs_, self.intercepts_, scales, strict=True)):
            X = apply_activation(X, self.activation) if position else X
            X = Linear(*arrays).predict(X)
        return X


def hold_out(classes, n_rows, fraction, rng):
    """Return the indices of the samples to train on and of those held out, stratified by class if possible.

    The only sample of a class is trained on. If fewer samples are held out than there are classes, they are drawn from
    all samples.
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


def _to_examples(data):
    """Return a training set in the form that training takes."""
    from transferkit._training.network.data import Examples

    return Examples(data.X, data.targets, data.weights, data.are_probabilities)


def _read_attributes(layers, history, last=None):
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


def _read_range_test(found, given):
    """Return the attributes on the initial learning rate and how it was found."""
    if found is None:
        return {"learning_rate_init_": given, "learning_rate_curve_": None}
    curve = {"learning_rate": found.rates, "loss": found.losses}
    return {"learning_rate_init_": found.chosen, "learning_rate_curve_": curve}


def _make_refitter(head, whole, random_state):
    """Return a copy of the head with the parameters of a refit; `whole` if each step takes all samples."""
    trainer = copy(head).set_params(
        solver="lbfgs" if whole else head.solver,
        learning_rate_init=getattr(head, "learning_rate_init_", 1.0),  # L-BFGS ignores it
        learning_rate="cosine",
        warmup=0,
        batch_norm=False,
        batch_schedule="constant",
        tol=1e-6 if whole else None,
        early_stopping=False,
        swa=None,
        prune_schedule=None,
        random_state=random_state,
    )
    if whole:
        trainer.set_params(clip_norm=None, clip_value=None, **dict.fromkeys(RANDOM_REGULARISERS, 0))
    return trainer
