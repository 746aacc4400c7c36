"""The base class of estimators, which records the version of transferkit in pickles."""

import warnings
from inspect import signature

from sklearn.base import BaseEstimator

from transferkit import __version__
from transferkit._warnings import count_inner_frames
from transferkit.exceptions import ModelVersionWarning

__all__ = ["VersionedEstimator", "default_parameters"]


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


def default_parameters(cls):
    """Return the default values of the parameters of an estimator's class, by name."""
    parameters = signature(cls).parameters.items()
    return {name: parameter.default for name, parameter in parameters if parameter.default is not parameter.empty}
