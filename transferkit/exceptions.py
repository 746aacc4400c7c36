"""Errors and warnings that transferkit raises beside Python's own."""

__all__ = [
    "DivergenceError",
    "ExportError",
    "MissingExtraError",
    "ModelFileError",
    "ModelVersionWarning",
    "NotLinearError",
    "ShardError",
    "TransferkitError",
    "WorkerLostError",
]


class TransferkitError(Exception):
    """Base class of every error that is transferkit's own."""


class ModelFileError(TransferkitError, ValueError):
    """A model file is missing, damaged, foreign, or holds what cannot be saved or loaded."""


def how_to_trust(*names: str) -> str:
    """Return how a caller of `load` says that names are trusted, in Python and on the command line, for messages."""
    options = " ".join(f"--trusted {name}" for name in names)
    return f"trusted={list(names)} in Python, {options} on the command line"


class ExportError(TransferkitError, ValueError):
    """A model cannot be expressed exactly in another form."""


class NotLinearError(TransferkitError, TypeError):
    """An encoder is not linear in the terms of a text."""


class ModelVersionWarning(UserWarning):
    """A model comes from another version than the one installed, and may give other results."""


class MissingExtraError(TransferkitError, ImportError):
    """A feature needs an optional dependency that is not installed.

    Parameters
    ----------
    feature : str
        What was asked for, as the subject of a sentence.
    extra : str
        Name of the extra that installs the dependency.
    """

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(f"{feature} needs an optional dependency. Install it with: pip install 'transferkit[{extra}]'")


class DivergenceError(TransferkitError, ValueError):
    """Training exploded: its loss, or a weight, is no longer a finite number, or the loss grew a thousandfold.

    Parameters
    ----------
    epoch : int
        Epoch in which it happened, from 1.
    learning_rate : float
        Learning rate of that epoch.
    loss : float
        Mean loss of that epoch, or of a sample of the rows after it.
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
        return type(self), (self.epoch, self.learning_rate, self.loss, self.parameter)  # workers send errors back


class ShardError(TransferkitError, RuntimeError):
    """A shard of a corpus could not be read, or holds what cannot be learned or encoded.

    Parameters
    ----------
    name : str
        Name of the shard: its path, or its place in the list.
    reason : str
        What went wrong.
    """

    def __init__(self, name: str, reason: str) -> None:
        said = reason.rstrip(".")
        super().__init__(
            f"{name!r} failed: {said}. With errors='skip' such shards are left out and reported in skipped_shards_."
        )
        self.name, self.reason = name, reason

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        return type(self), (self.name, self.reason)  # worker processes send errors back


class WorkerLostError(TransferkitError, RuntimeError):
    """Workers of a cluster died, one after the other, at the same task: most often they were out of memory.

    Parameters
    ----------
    shards : tuple of str
        Names of the shards that the task takes in; none for a task that joins or finishes.
    """

    def __init__(self, shards: tuple[str, ...]) -> None:
        where = f"over the shards {list(shards)}" if shards else "while statistics were joined"
        super().__init__(
            f"Workers died one after the other {where}, most often because they ran out of memory. Nothing was fitted. "
            "Give workers more memory or fewer threads, cut smaller shards, or bound the statistics (max_vocabulary, "
            "max_pairs, n_components)."
        )
        self.shards = shards

    def __reduce__(self) -> tuple[type, tuple[tuple[str, ...]]]:
        return type(self), (self.shards,)
