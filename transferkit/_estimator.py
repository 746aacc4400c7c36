"""What all estimators share: the version of transferkit in pickles, and the progress of a fit for callbacks."""

import warnings
from inspect import signature

from sklearn.base import BaseEstimator

from transferkit import __version__
from transferkit.exceptions import ModelVersionWarning, count_inner_frames

__all__ = ["FitProgress", "VersionedEstimator", "default_parameters"]


class VersionedEstimator(BaseEstimator):
    """scikit-learn's BaseEstimator with the version of transferkit in its pickles.

    scikit-learn records only its own version, and only for its own classes. Unpickling with another version warns.
    """

    # The attributes beside the parameters that a model file may set (persistence.protocols.DeclaresState).
    fitted_attributes: tuple[str, ...] = ()

    def __getstate__(self):
        return {**super().__getstate__(), "_transferkit_version": __version__}

    def __setstate__(self, state):
        written = state.get("_transferkit_version", "an unknown version")
        if written != __version__:
            warnings.warn(
                f"This {type(self).__name__} was pickled with transferkit {written}, and {__version__} is installed: "
                "it may fail or give other results. Model files (transferkit.save) stay readable.",
                ModelVersionWarning,
                stacklevel=count_inner_frames(),
            )
        state = {name: value for name, value in state.items() if name != "_transferkit_version"}
        super().__setstate__(default_parameters(type(self)) | state)  # the pickle may be older than a parameter


class FitProgress:
    """The callback context of one fit: reports each step, and returns whether a callback requests to stop.

    It must be created before the fit changes anything, and leaves its context on the estimator until `fit` returns.
    """

    def __init__(self, estimator, n_steps, step_name):
        self.estimator, self.step_name = estimator, step_name
        self.context = estimator._init_callback_context(max_subtasks=n_steps)
        self.data = {}

    @property
    def is_watched(self):
        """Whether the estimator has callbacks."""
        return bool(vars(self.estimator).get("_skl_callbacks"))

    def begin(self, X, y, sample_weight):
        """Report the beginning of the fit on checked data."""
        metadata = None if sample_weight is None else {"sample_weight": sample_weight}
        self.data = {"X": X, "y": y, "metadata": metadata}
        if self.is_watched:
            self.context.call_on_fit_task_begin(estimator=self.estimator, **self.data)

    def step(self, read_attributes=None):
        """Report one step; return whether to stop.

        `read_attributes()` returns the fitted attributes after this step, for callbacks that need a usable estimator.
        """
        if not self.is_watched:
            return False
        task = self.context.subcontext(task_name=self.step_name)
        task.call_on_fit_task_begin(estimator=self.estimator, **self.data)
        return task.call_on_fit_task_end(
            estimator=self.estimator, **self.data, reconstruction_attributes=read_attributes
        )

    def end(self, attributes):
        """Report the end of the fit and the fitted attributes."""
        if self.is_watched:
            self.context.call_on_fit_task_end(
                estimator=self.estimator, **self.data, reconstruction_attributes=attributes
            )


def default_parameters(cls):
    """Return the default values of the parameters of an estimator's class, by name."""
    parameters = signature(cls).parameters.items()
    return {name: parameter.default for name, parameter in parameters if parameter.default is not parameter.empty}
