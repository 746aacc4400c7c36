"""Steps of a fit, reported to scikit-learn's callbacks."""

__all__ = ["FitProgress"]


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
