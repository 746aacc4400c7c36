"""Errors and warnings that transferkit raises beside Python's own."""

__all__ = [
    "DivergenceError",
    "ExportError",
    "MissingExtraError",
    "ModelFileError",
    "ModelVersionWarning",
    "TransferkitError",
]


class TransferkitError(Exception):
    """Base class of every error that is transferkit's own."""


class ModelFileError(TransferkitError, ValueError):
    """A model file is missing, damaged, foreign, or holds what cannot be saved or loaded."""


class ExportError(TransferkitError, ValueError):
    """A model cannot be expressed exactly in another form."""


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
    """Training exploded: its loss is no longer a finite number.

    Parameters
    ----------
    epoch : int
        Epoch in which it happened, from 1.
    learning_rate : float
        Learning rate of that epoch.
    loss : float
        Mean loss of that epoch.
    """

    def __init__(self, epoch: int, learning_rate: float, loss: float) -> None:
        super().__init__(
            f"Training diverged in epoch {epoch}: the mean loss is {loss} at learning rate {learning_rate:.3g}. Try a "
            f"smaller learning_rate_init (such as {learning_rate / 10:.1g}, or 'auto'), clip_norm=1.0, warmup=1, or "
            "features of unit scale (StandardScaler)."
        )
        self.epoch, self.learning_rate, self.loss = epoch, learning_rate, loss

    def __reduce__(self) -> tuple[type, tuple[int, float, float]]:
        return type(self), (self.epoch, self.learning_rate, self.loss)  # worker processes send errors back
