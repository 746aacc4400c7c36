"""Bases of estimators: version in pickles, frozen pretrained parameters, progress of a fit for callbacks."""

import warnings
from contextlib import contextmanager, nullcontext
from inspect import signature

from sklearn.base import BaseEstimator
from sklearn.callback import CallbackSupportMixin

from transferkit import __version__
from transferkit.exceptions import ModelVersionWarning, count_inner_frames

__all__ = [
    "UNWATCHED",
    "FitProgress",
    "FrozenParametersMixin",
    "KeepsSourceMixin",
    "VersionedEstimator",
    "default_parameters",
    "share_callbacks",
]


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


class FrozenParametersMixin:
    """Base of estimators with pretrained estimators as parameters, whose own parameters are frozen.

    Subclasses define `_find_frozen(params)`, which returns the names of these parameters, given the values of all.
    """

    def get_params(self, deep=True):
        """Return the parameters, without those inside pretrained estimators, which are frozen.

        Parameters
        ----------
        deep : bool, default=True
            Whether to include the parameters of estimators that are still to be fitted.

        Returns
        -------
        params : dict
            Parameter names and values.
        """
        params = super().get_params(deep)
        frozen = self._find_frozen(params) if deep else ()
        return {name: value for name, value in params.items() if name.split("__")[0] not in frozen or name in frozen}

    def set_params(self, **params):
        """Set parameters.

        Parameters
        ----------
        **params : dict
            Parameter names and values.

        Returns
        -------
        self : estimator
            The estimator.

        Raises
        ------
        ValueError
            If a parameter of a pretrained estimator is given, since these are frozen.
        """
        frozen = self._find_frozen(vars(self) | params)
        for name in params:
            parameter, is_inner, _ = name.partition("__")
            if is_inner and parameter in frozen:
                raise ValueError(
                    f"{name!r} cannot be set: the {parameter} is pretrained, and changing its parameters would not "
                    f"change its fitted attributes. Set or search over `{parameter}` itself (an encoder as a path or "
                    "in a PretrainedEncoder), or give one that is not fitted yet if that is allowed."
                )
        return super().set_params(**params)


class KeepsSourceMixin(FrozenParametersMixin):
    """Base of estimators with a source model as a parameter, which clones share: a clone of it would be unfitted."""

    _source_parameter = "prior"

    def _find_frozen(self, params):
        is_model = hasattr(params.get(self._source_parameter), "get_params")
        return {self._source_parameter} if is_model else set()

    def __sklearn_clone__(self):
        copy = super().__sklearn_clone__()
        setattr(copy, self._source_parameter, getattr(self, self._source_parameter))
        return copy


class FitProgress:
    """The callback context of one fit: reports each step, and returns whether a callback requests to stop.

    It must be created before the fit changes anything, and leaves its context on the estimator until `fit` returns.
    `n_steps` is the largest possible number of steps, None if it is not known; an estimator of None has no callbacks.
    """

    def __init__(self, estimator, n_steps=None, step_name=""):
        self.estimator, self.step_name, self.stopped = estimator, step_name, False
        self.is_watched = estimator is not None and bool(vars(estimator).get("_skl_callbacks"))
        self.context = estimator._init_callback_context(max_subtasks=n_steps) if self.is_watched else None
        self.data = {}

    def begin(self, X, y, sample_weight=None):
        """Report the beginning of the fit on checked data."""
        if not self.is_watched:
            return
        metadata = None if sample_weight is None else {"sample_weight": sample_weight}
        self.data = {"X": X, "y": y, "metadata": metadata}
        self.context.call_on_fit_task_begin(estimator=self.estimator, **self.data)

    @contextmanager
    def stage(self, name, n_steps=None):
        """Report the beginning and the end of a part of the fit, of which the steps within the block are parts."""
        if not self.is_watched:
            yield
            return
        whole, self.context = self.context, self.context.subcontext(task_name=name, max_subtasks=n_steps)
        self.context.call_on_fit_task_begin(estimator=self.estimator, **self.data)
        yield
        self.stopped |= self.context.call_on_fit_task_end(estimator=self.estimator, **self.data)
        self.context = whole

    @contextmanager
    def part(self, name, estimator):
        """Report a part of the fit that fits another estimator, whose tasks become parts of it as in scikit-learn.

        The estimator gets the callbacks that propagate, such as progress bars, if it supports callbacks.
        """
        if not self.is_watched:
            yield
            return
        task = self.context.subcontext(task_name=name)
        propagates = isinstance(estimator, CallbackSupportMixin)
        with task.propagate_callback_context(estimator) if propagates else nullcontext():
            task.call_on_fit_task_begin(estimator=self.estimator, **self.data)
            yield
        self.stopped |= task.call_on_fit_task_end(estimator=self.estimator, **self.data)

    def step(self, read_attributes=None, name=None):
        """Report one step, by its own name or that of all steps; return whether to stop.

        `read_attributes()` returns the fitted attributes after this step, for callbacks that need a usable estimator.
        """
        if not self.is_watched:
            return False
        task = self.context.subcontext(task_name=name or self.step_name)
        task.call_on_fit_task_begin(estimator=self.estimator, **self.data)
        stops = task.call_on_fit_task_end(
            estimator=self.estimator, **self.data, reconstruction_attributes=read_attributes
        )
        self.stopped |= stops
        return stops

    def end(self, attributes):
        """Report the end of the fit and the fitted attributes."""
        if self.is_watched:
            self.context.call_on_fit_task_end(
                estimator=self.estimator, **self.data, reconstruction_attributes=attributes
            )


UNWATCHED = FitProgress(None)


def share_callbacks(estimator, clone):
    """Return a clone that was not made by scikit-learn, with the callbacks of the original, as scikit-learn's have."""
    if "_skl_callbacks" in vars(estimator):
        clone._skl_callbacks = estimator._skl_callbacks
    return clone


def default_parameters(cls):
    """Return the default values of the parameters of an estimator's class, by name."""
    parameters = signature(cls).parameters.items()
    return {name: parameter.default for name, parameter in parameters if parameter.default is not parameter.empty}
