"""Parameters of the network heads: constraints, checks of combinations, and conversion to the options of training."""

import os
import warnings
from dataclasses import fields
from numbers import Integral, Real

import numpy as np

from transferkit._algorithms.networks.layers import ACTIVATIONS, INITIALISATIONS
from transferkit._validation import HasMethods, Interval, StrOptions
from transferkit.exceptions import count_inner_frames

__all__ = ["CONSTRAINTS", "FULL_BATCH_SOLVERS", "RANDOM_REGULARISERS", "check_together", "hidden_sizes", "make_options"]

SOLVERS = {"gd", "sgd", "momentum", "nesterov", "rmsprop", "adagrad", "adam", "adamw", "lbfgs"}
RATE_SCHEDULES = {"constant", "step", "exponential", "inverse", "cosine", "one_cycle", "plateau"}
FULL_BATCH_SOLVERS = ("gd", "lbfgs")
RANDOM_REGULARISERS = ("dropout", "mixup", "feature_noise", "feature_dropout")  # zero switches them off
LARGEST_AUTO_BATCH = 200

_NOT_NEGATIVE = Interval(Real, 0, None, closed="left")
_POSITIVE = Interval(Real, 0, None, closed="neither")
_PROBABILITY = Interval(Real, 0, 1, closed="left")
_COUNT = Interval(Integral, 1, None, closed="left")

CONSTRAINTS = {
    "hidden_layer_sizes": ["array-like", _COUNT],
    "activation": [StrOptions(set(ACTIVATIONS))],
    "dropout": [_PROBABILITY],
    "batch_norm": ["boolean"],
    "solver": [StrOptions(SOLVERS)],
    "alpha": [_NOT_NEGATIVE],
    "momentum": [_PROBABILITY],
    "clip_norm": [_POSITIVE, None],
    "clip_value": [_POSITIVE, None],
    "learning_rate_init": [_POSITIVE, StrOptions({"auto"})],
    "learning_rate": [StrOptions(RATE_SCHEDULES), callable],
    "learning_rate_decay": [Interval(Real, 0, 1, closed="neither")],
    "learning_rate_epochs": [_COUNT],
    "warmup": [_NOT_NEGATIVE],
    "batch_size": [_COUNT, StrOptions({"auto"})],
    "batch_schedule": [StrOptions({"constant", "grow", "decay"}), callable],
    "batch_epochs": [_COUNT, StrOptions({"stall"}), "array-like"],
    "weight_init": [StrOptions(set(INITIALISATIONS)), list, tuple, HasMethods(["predict"]), os.PathLike],
    "init_mean": [Real],
    "init_scale": [_POSITIVE, None],
    "max_iter": [_COUNT],
    "tol": [_NOT_NEGATIVE, None],
    "n_iter_no_change": [_COUNT],
    "early_stopping": ["boolean"],
    "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
    "mixup": [_NOT_NEGATIVE],
    "feature_noise": [_NOT_NEGATIVE],
    "feature_dropout": [_PROBABILITY],
    "swa": [_PROBABILITY, None],
    "prune_schedule": [dict, None],
    "warm_start": ["boolean"],
    "random_state": ["random_state"],
    "device": [str],
}


def hidden_sizes(head):
    """Return the numbers of units of the hidden layers, after checking them."""
    sizes = np.atleast_1d(np.asarray(head.hidden_layer_sizes, dtype=object)).tolist()
    if not all(isinstance(size, Integral) and size > 0 for size in sizes):
        raise ValueError(
            f"The 'hidden_layer_sizes' parameter of {type(head).__name__} must hold positive numbers of units; () "
            f"stands for one linear layer. Got {head.hidden_layer_sizes!r} instead."
        )
    return [int(size) for size in sizes]


def check_together(head):
    """Raise ValueError for parameters that cannot be combined, or have wrong entries."""
    if head.solver == "lbfgs":
        random = [name for name in RANDOM_REGULARISERS if getattr(head, name) > 0]
        exact = [name for name in ("clip_norm", "clip_value", "prune_schedule") if getattr(head, name) is not None]
        if exact:
            raise ValueError(f"solver='lbfgs' uses a line search and cannot be combined with {' and '.join(exact)}.")
        if random or head.batch_norm:
            raise ValueError(
                f"solver='lbfgs' needs a deterministic loss, and cannot be combined with "
                f"{' and '.join(random) or 'batch_norm'}. Choose another solver, such as 'adam'."
            )
    if head.batch_norm and head.batch_size == 1:
        raise ValueError(
            "batch_norm=True needs batch_size >= 2, because a single sample has no variance. Got batch_size=1."
        )
    if head.prune_schedule is not None:
        _pruning(head)
    epochs = head.batch_epochs
    if np.ndim(epochs) and not all(isinstance(epoch, Integral) and epoch >= 0 for epoch in np.asarray(epochs).tolist()):
        raise ValueError(
            f"The 'batch_epochs' parameter of {type(head).__name__} must hold non-negative epochs. Got {epochs!r}."
        )


def _pruning(head):
    """Return amount, first and last epoch of the pruning."""
    schedule = head.prune_schedule
    amount, begin, end = schedule.get("amount"), schedule.get("begin", 0), schedule.get("end", head.max_iter // 2)
    if (
        set(schedule) - {"amount", "begin", "end"}
        or not (isinstance(amount, Real) and 0 < amount < 1)
        or not (isinstance(begin, Integral) and isinstance(end, Integral) and 0 <= begin < end)
    ):
        raise ValueError(
            "prune_schedule must be {'amount': a share between 0 and 1, 'begin': epoch, 'end': a later epoch}. "
            f"Got {schedule!r} instead, with begin={begin} and end={end}."
        )
    return float(amount), int(begin), int(end)


def make_options(head, n_samples, seed, **others):
    """Return the options of training: the parameters of the head, overridden and completed by `others`."""
    from transferkit._training.network.data import Augmentation
    from transferkit._training.network.training import TrainingOptions

    options = {field.name: getattr(head, field.name) for field in fields(TrainingOptions) if hasattr(head, field.name)}
    options |= {
        "batch_size": _batch_size(head, n_samples, warns="past_losses" not in others),
        "batch_schedule": "constant" if head.solver in FULL_BATCH_SOLVERS else head.batch_schedule,
        "batch_epochs": np.asarray(head.batch_epochs).tolist() if np.ndim(head.batch_epochs) else head.batch_epochs,
        "patience": head.n_iter_no_change,
        "augmentation": Augmentation(head.mixup, head.feature_noise, head.feature_dropout),
        "average_from": None if head.swa is None else int(head.swa * others["max_epochs"]),
        "pruning": None if head.prune_schedule is None else _pruning(head),
        "seed": seed,
    }
    return TrainingOptions(**options | others)


def _batch_size(head, n_samples, warns):
    """Return the number of samples of the first batches."""
    if head.solver in FULL_BATCH_SOLVERS:
        return n_samples
    if head.batch_size == "auto":
        return min(LARGEST_AUTO_BATCH, n_samples)
    if head.batch_size > n_samples and warns:
        warnings.warn(
            f"batch_size={head.batch_size} is larger than the number of training rows, {n_samples}: each batch holds "
            "all of them.",
            UserWarning,
            stacklevel=count_inner_frames(),
        )
    return min(head.batch_size, n_samples)
