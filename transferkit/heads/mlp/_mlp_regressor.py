"""Regression by a multilayer perceptron, trained by gradient descent."""

import os
from collections.abc import Sequence
from numbers import Real
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import RegressorMixin

from transferkit._types import FittedPredictor, Function, Numbers, Seed
from transferkit._validation import Interval, StrOptions, check_sample_weight, fit_context, to_numpy
from transferkit.heads.mlp._base import MLPHead, TrainingSet
from transferkit.heads.mlp._parameters import CONSTRAINTS

__all__ = ["MLPHeadRegressor"]


class MLPHeadRegressor(RegressorMixin, MLPHead):
    """Predict numbers by a linear layer or a multilayer perceptron, trained with torch and stored in NumPy.

    Targets are not scaled: bring targets that are far from zero or very large to unit scale first, for example with
    :class:`~sklearn.compose.TransformedTargetRegressor`.

    Parameters
    ----------
    hidden_layer_sizes, activation, dropout, batch_norm : any
        The layers, as in :class:`MLPHeadClassifier`.
    loss : {"squared_error", "absolute_error", "huber"}, default="squared_error"
        Half the squared error; the absolute error; or half the squared error up to `huber_delta`, linear beyond. The
        loss of a sample is the sum over its targets.
    huber_delta : float, default=1.0
        Absolute error beyond which the Huber loss is linear.
    solver, alpha, momentum, clip_norm, clip_value : any
        The optimiser, as in :class:`MLPHeadClassifier`.
    learning_rate_init, learning_rate, learning_rate_decay, learning_rate_epochs, warmup : any
        The learning rate, as in :class:`MLPHeadClassifier`.
    batch_size, batch_schedule, batch_epochs : any
        The batches, as in :class:`MLPHeadClassifier`.
    weight_init, init_mean, init_scale : any
        Initial weights, as in :class:`MLPHeadClassifier`; a head given here must have as many outputs as y.
    max_iter, tol, n_iter_no_change, early_stopping, validation_fraction : any
        When to stop, as in :class:`MLPHeadClassifier`; the validation score is the coefficient of determination.
    mixup, feature_noise, feature_dropout, swa, prune_schedule : any
        Regularisation, as in :class:`MLPHeadClassifier`.
    warm_start, random_state, device : any
        As in :class:`MLPHeadClassifier`.

    Attributes
    ----------
    coefs_ : list of ndarray of shape (n_inputs, n_outputs)
        Weights of each layer; sparse or of low precision after :func:`transferkit.compression.prune` and
        :func:`transferkit.compression.quantise`.
    intercepts_ : list of ndarray of shape (n_outputs,)
        Intercepts of each layer.
    scales_ : list or None
        Factors (n_outputs,) of the columns of int8 weights.
    n_iter_ : int
        Number of epochs.
    n_steps_ : int
        Number of update steps.
    loss_, loss_curve_, validation_scores_, history_ : any
        The course of training, as in :class:`MLPHeadClassifier`.
    learning_rate_init_, learning_rate_curve_, init_coverage_, batch_norms_, optimiser_state_, compression_ : any
        As in :class:`MLPHeadClassifier`.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features, if all names seen in `fit` are strings.

    See Also
    --------
    RidgeHead : The optimum of one linear layer with squared error, in closed form.
    MLPHeadClassifier : The same for classification.

    Examples
    --------
    >>> import numpy as np
    >>> from transferkit import MLPHeadRegressor
    >>> X = np.random.RandomState(0).normal(size=(300, 2))
    >>> y = np.abs(X[:, 0]) + X[:, 1]
    >>> head = MLPHeadRegressor(32, learning_rate_init=0.01, random_state=0).fit(X, y)
    >>> head.predict(X).shape
    (300,)
    >>> head.score(X, y) > 0.95
    True
    """

    _parameter_constraints = {
        **CONSTRAINTS,
        "loss": [StrOptions({"squared_error", "absolute_error", "huber"})],
        "huber_delta": [Interval(Real, 0, None, closed="neither")],
    }
    _target_checks = {"y_numeric": True}

    def __init__(
        self,
        hidden_layer_sizes: int | Sequence[int] = (100,),
        *,
        activation: Literal["elu", "gelu", "identity", "leaky_relu", "relu", "sigmoid", "tanh"] = "relu",
        dropout: float = 0.0,
        batch_norm: bool = False,
        loss: Literal["squared_error", "absolute_error", "huber"] = "squared_error",
        huber_delta: float = 1.0,
        solver: Literal["adagrad", "adam", "adamw", "gd", "lbfgs", "momentum", "nesterov", "rmsprop", "sgd"] = "adam",
        alpha: float = 1e-4,
        momentum: float = 0.9,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        learning_rate_init: Literal["auto"] | float = 1e-3,
        learning_rate: Literal["constant", "cosine", "exponential", "inverse", "one_cycle", "plateau", "step"]
        | Function = "constant",
        learning_rate_decay: float = 0.5,
        learning_rate_epochs: int = 10,
        warmup: float = 0,
        batch_size: Literal["auto"] | int = "auto",
        batch_schedule: Literal["constant", "decay", "grow"] | Function = "constant",
        batch_epochs: Literal["stall"] | int | Numbers = 10,
        weight_init: Literal["kaiming", "normal", "orthogonal", "random", "uniform", "xavier", "zeros"]
        | Sequence[Any]
        | FittedPredictor
        | os.PathLike[str] = "kaiming",
        init_mean: float = 0.0,
        init_scale: float | None = None,
        max_iter: int = 200,
        tol: float | None = 1e-4,
        n_iter_no_change: int = 10,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        mixup: float = 0.0,
        feature_noise: float = 0.0,
        feature_dropout: float = 0.0,
        swa: float | None = None,
        prune_schedule: dict[str, Any] | None = None,
        warm_start: bool = False,
        random_state: Seed = None,
        device: str = "auto",
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.dropout = dropout
        self.batch_norm = batch_norm
        self.loss = loss
        self.huber_delta = huber_delta
        self.solver = solver
        self.alpha = alpha
        self.momentum = momentum
        self.clip_norm = clip_norm
        self.clip_value = clip_value
        self.learning_rate_init = learning_rate_init
        self.learning_rate = learning_rate
        self.learning_rate_decay = learning_rate_decay
        self.learning_rate_epochs = learning_rate_epochs
        self.warmup = warmup
        self.batch_size = batch_size
        self.batch_schedule = batch_schedule
        self.batch_epochs = batch_epochs
        self.weight_init = weight_init
        self.init_mean = init_mean
        self.init_scale = init_scale
        self.max_iter = max_iter
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.mixup = mixup
        self.feature_noise = feature_noise
        self.feature_dropout = feature_dropout
        self.swa = swa
        self.prune_schedule = prune_schedule
        self.warm_start = warm_start
        self.random_state = random_state
        self.device = device

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight: ArrayLike | None = None, X_val=None, y_val=None) -> Self:
        """Train on features and targets.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Sample weights, not negative; all 1 if None.
        X_val, y_val : like X and y, default=None
            Validation set: scored after each epoch, and used by `early_stopping` instead of a share of X.

        Returns
        -------
        self : MLPHeadRegressor
            The fitted head.

        Raises
        ------
        DivergenceError
            If the loss or a weight is no longer finite, or the loss exploded in the last steps.
        MemoryError
            If the device has too little memory.
        """
        return self._fit(X, y, sample_weight, X_val, y_val)

    @fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, sample_weight: ArrayLike | None = None) -> Self:
        """Train for one more epoch, on a part of the data.

        Each call is an epoch of the schedules of learning rate and batch size. "cosine" and "one_cycle" end after
        `max_iter` epochs and keep their last rate, which is zero for "cosine".

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Targets.
        sample_weight : array-like of shape (n_samples,), default=None
            Sample weights, not negative; all 1 if None.

        Returns
        -------
        self : MLPHeadRegressor
            The head.
        """
        return self._partial_fit(X, y, sample_weight)

    def predict(self, X) -> np.ndarray:
        """Return the predicted targets.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.

        Returns
        -------
        targets : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            Predictions; one-dimensional if there is one output.
        """
        outputs = self._compute_outputs(X)
        return outputs[:, 0] if outputs.shape[1] == 1 else outputs

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def _check_targets(self, y):
        return y  # `_validate` checks them

    def _encode(self, X, y, sample_weight, fitted=None, classes=None):
        """Return the training set."""
        targets = np.asarray(y, dtype=X.dtype).reshape(len(y), -1)
        if fitted is not None and targets.shape[1] != fitted["coefs_"][-1].shape[1]:
            raise ValueError(f"y has {targets.shape[1]} outputs, and {fitted['coefs_'][-1].shape[1]} were expected.")
        weights = check_sample_weight(to_numpy(sample_weight), X, dtype=X.dtype, ensure_non_negative=True)
        kept = weights > 0
        if not kept.all():
            X, targets, weights = X[kept], targets[kept], weights[kept]
        return TrainingSet(X, targets, None if sample_weight is None else weights)

    def _encode_validation(self, y, data):
        targets = np.asarray(y, dtype=data.X.dtype).reshape(len(y), -1)
        if targets.shape[1] != data.n_outputs:
            raise ValueError(f"y_val has {targets.shape[1]} outputs and y has {data.n_outputs}.")
        return targets
