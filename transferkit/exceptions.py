"""Errors and warnings of transferkit."""

import sys

__all__ = [
    "DataWarning",
    "DivergenceError",
    "ExportError",
    "LostPretrainingWarning",
    "MissingExtraError",
    "ModelFileError",
    "ModelVersionWarning",
    "NotLinearError",
    "ShardError",
    "TransferkitError",
    "WorkerLostError",
]

_INNER = ("transferkit", "sklearn", "joblib", "contextlib")  # the last for functions decorated with a context


class TransferkitError(Exception):
    """Base class of the errors that transferkit defines."""


class ModelFileError(TransferkitError, ValueError):
    """A model file is missing, damaged or unrecognised, or a model cannot be saved or loaded."""


def how_to_trust(*names: str) -> str:
    """Return how to trust names, in Python and on the command line, for error messages."""
    options = " ".join(f"--trusted {name}" for name in names)
    return f"trusted={list(names)} in Python, {options} on the command line"


CLONES_IN_GRIDS = "scikit-learn clones the values of a grid, and a clone is not fitted"  # for messages


class ExportError(TransferkitError, ValueError):
    """A model cannot be expressed exactly in another form."""


class NotLinearError(TransferkitError, TypeError):
    """An encoder is not linear in the terms of a text."""


class ModelVersionWarning(UserWarning):
    """A model was saved with another version than the one installed, and may give different results."""


class LostPretrainingWarning(UserWarning):
    """A pretrained encoder is fitted again within a model, and loses what it had learned."""


class DataWarning(UserWarning):
    """The form of a file was guessed, or its texts and labels look wrong."""


class MissingExtraError(TransferkitError, ImportError):
    """A feature needs an optional dependency that is not installed.

    Parameters
    ----------
    feature : str
        The feature, as the subject of a sentence.
    extra : str
        Name of the extra that installs the dependency.
    """

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(f"{feature} needs an optional dependency. Install it with: pip install 'transferkit[{extra}]'")


class DivergenceError(TransferkitError, ValueError):
    """Training diverged: the loss or a weight is not finite, or the loss grew a thousandfold.

    Parameters
    ----------
    epoch : int
        Epoch in which training diverged, counted from 1.
    learning_rate : float
        Learning rate of that epoch.
    loss : float
        Mean loss of that epoch, or of a subset of the samples after it.
    parameter : str, default="learning_rate_init"
        Name of the parameter that sets the learning rate.
    """

    def __init__(self, epoch: int, learning_rate: float, loss: float, parameter: str = "learning_rate_init") -> None:
        smaller = f"{learning_rate / 10:.1g}"
        others = (
            f"{smaller}, or 'auto'), clip_norm=1.0, warmup=1, or features of unit scale (StandardScaler)"
            if parameter == "learning_rate_init"
            else f"{smaller})"
        )
        super().__init__(
            f"Training diverged in epoch {epoch}: the mean loss is {loss} at learning rate {learning_rate:.3g}. Try a "
            f"smaller {parameter} (such as {others}."
        )
        self.epoch, self.learning_rate, self.loss, self.parameter = epoch, learning_rate, loss, parameter

    def __reduce__(self) -> tuple[type, tuple[int, float, float, str]]:
        return type(self), (self.epoch, self.learning_rate, self.loss, self.parameter)  # worker processes pickle errors


class ShardError(TransferkitError, RuntimeError):
    """A shard of a corpus could not be read, or its content could not be fitted or encoded.

    Parameters
    ----------
    name : str
        Name of the shard: its path, or its position in the list.
    reason : str
        What went wrong.
    """

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(
            f"{name!r} failed: {reason.rstrip('.')}. With errors='skip' such shards are skipped and listed in "
            "skipped_shards_."
        )
        self.name, self.reason = name, reason

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        return type(self), (self.name, self.reason)  # worker processes pickle errors


class WorkerLostError(TransferkitError, RuntimeError):
    """Workers of a cluster were repeatedly killed by the same task, usually because they ran out of memory.

    Parameters
    ----------
    shards : tuple of str
        Names of the shards that the task reads; empty for a task that merges statistics.
    """

    def __init__(self, shards: tuple[str, ...]) -> None:
        where = f"by the shards {list(shards)}" if shards else "while statistics were merged"
        super().__init__(
            f"Workers were repeatedly killed {where}, usually because they ran out of memory. Nothing was fitted. "
            "Give workers more memory or fewer threads, use smaller shards, or bound the statistics (max_vocabulary, "
            "max_pairs, n_components)."
        )
        self.shards = shards

    def __reduce__(self) -> tuple[type, tuple[tuple[str, ...]]]:
        return type(self), (self.shards,)


def count_inner_frames() -> int:
    """Return the `stacklevel` with which a warning of the caller refers to the user's line.

    The number of scikit-learn's wrappers in between differs from method to method.
    """
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").split(".")[0] in _INNER:
        level, frame = level + 1, frame.f_back
    return level
