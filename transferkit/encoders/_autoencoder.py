"""Codes that rows can be rebuilt from, as features."""

from itertools import pairwise
from numbers import Integral, Real

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.callback import CallbackSupportMixin
from sklearn.utils import check_random_state

from transferkit._algorithms.initialisation import activation_gain, initialise_weights
from transferkit._algorithms.network_predictions import ACTIVATIONS, compute_outputs
from transferkit._progress import FitProgress
from transferkit._validation import (
    Interval,
    StrOptions,
    check_is_fitted,
    fit_context,
    to_numpy,
    unchanged_on_error,
    validate_data,
)
from transferkit._versioning import VersionedEstimator
from transferkit.encoders._fine_tuning import ActivationLayer, LinearLayer, Network


class AutoencoderEncoder(CallbackSupportMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin, VersionedEstimator):
    """Encode rows of numbers by the narrow layer of a network that rebuilds them, from noise if asked to.

    Parameters
    ----------
    hidden_layer_sizes : tuple of int, default=(256,)
        Units of the layers before the code; those after it mirror them.
    n_components : int, default=32
        Units of the code: the features.
    activation : {"relu", "leaky_relu", "elu", "tanh", "sigmoid", "gelu", "identity"}, default="relu"
        Of the hidden layers. The code and the output are linear.
    noise : {"gaussian", "masking"} or None, default="masking"
        What is done to the rows that the network sees, while it is to rebuild them as they were [2]_: normal noise is
        added, or entries are set to zero (and the others raised, so that their mean stays).
    noise_level : float, default=0.2
        Standard deviation of the noise, in units of the root mean variance of the features, or share of the entries.
    loss : {"squared_error", "absolute_error", "huber"}, default="squared_error"
        How far the rebuilt row is from the row.
    solver : {"adam", "adamw", "sgd", "nesterov", "rmsprop"}, default="adam"
        Optimiser.
    learning_rate_init : float, default=2e-3
        Learning rate at the start; it falls along a cosine.
    alpha : float, default=0.0
        L2 penalty on the weights.
    batch_size : int, default=128
        Rows in a step.
    max_iter : int, default=100
        Epochs.
    device : str, default="auto"
        Where `fit` computes: "auto" (CUDA if there is one), "cpu", "cuda". `transform` uses NumPy.
    random_state : int, RandomState instance or None, default=0
        First weights, batches and noise. The default gives the same encoder each time on the same device.

    Attributes
    ----------
    coefs_ : list of ndarray of shape (n_inputs, n_outputs), float32
        Weights of the layers up to the code.
    intercepts_ : list of ndarray of shape (n_outputs,), float32
        Their intercepts.
    decoder_coefs_, decoder_intercepts_ : list of ndarray
        The layers after the code.
    loss_curve_ : list of float
        Mean loss of each epoch, on the noisy rows.
    n_iter_ : int
        Epochs.
    n_features_in_ : int
        Width of the rows.

    See Also
    --------
    LSAEncoder : The linear counterpart for texts; PCA is that for rows of numbers.
    TransferClassifier : With ``strategy="finetune"`` trains the encoder on with a head.

    Notes
    -----
    Rows are dense: of sparse rows make dense ones first, with :class:`LSAEncoder` or TruncatedSVD.

    References
    ----------
    .. [1] G. Hinton, R. Salakhutdinov (2006). Reducing the dimensionality of data with neural networks. Science 313.
    .. [2] P. Vincent et al. (2010). Stacked denoising autoencoders. JMLR 11.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from transferkit import AutoencoderEncoder
    >>> X = load_digits().data / 16
    >>> encoder = AutoencoderEncoder((64,), n_components=8, max_iter=5).fit(X)
    >>> encoder.transform(X).shape, encoder.inverse_transform(encoder.transform(X)).shape
    ((1797, 8), (1797, 64))
    """

    _parameter_constraints: dict = {
        "hidden_layer_sizes": [tuple, list],
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "activation": [StrOptions(set(ACTIVATIONS))],
        "noise": [StrOptions({"gaussian", "masking"}), None],
        "noise_level": [Interval(Real, 0, None, closed="left")],
        "loss": [StrOptions({"squared_error", "absolute_error", "huber"})],
        "solver": [StrOptions({"adam", "adamw", "sgd", "nesterov", "rmsprop"})],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "device": [str],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        hidden_layer_sizes=(256,),
        n_components=32,
        *,
        activation="relu",
        noise="masking",
        noise_level=0.2,
        loss="squared_error",
        solver="adam",
        learning_rate_init=2e-3,
        alpha=0.0,
        batch_size=128,
        max_iter=100,
        device="auto",
        random_state=0,
    ):
        self.hidden_layer_sizes = hidden_layer_sizes
        self.n_components = n_components
        self.activation = activation
        self.noise = noise
        self.noise_level = noise_level
        self.loss = loss
        self.solver = solver
        self.learning_rate_init = learning_rate_init
        self.alpha = alpha
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.device = device
        self.random_state = random_state

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None):
        """Train the network to rebuild unlabelled rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows, best scaled to similar ranges.
        y : None
            Ignored; here for scikit-learn's API.

        Returns
        -------
        self : AutoencoderEncoder
            The fitted encoder.

        Raises
        ------
        DivergenceError
            If the loss is no longer finite.
        """
        from transferkit._training.network_training import Examples, train_network

        self._check_together()
        progress = FitProgress(self, self.max_iter, "epoch")
        with unchanged_on_error(self):
            X = validate_data(self, to_numpy(X), dtype=np.float32, order="C")
            progress.begin(X, y, None)
            random = check_random_state(self.random_state)
            stages = self._make_stages(X, random)
            options = self._make_options(X, int(random.randint(2**31 - 2)))
            trained = train_network(
                stages,
                Examples(X, X),
                options,
                on_epoch=lambda read, history: progress.step(lambda: self._read(read(), history)),
            )
        fitted = self._read(trained.stages, trained.history)
        vars(self).update(fitted)
        progress.end(fitted)
        return self

    def transform(self, X):
        """Return the codes of the rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows.

        Returns
        -------
        codes : ndarray of shape (n_samples, n_components), float32
            Codes.
        """
        check_is_fitted(self)
        return compute_outputs(self._validate(X), self.coefs_, self.intercepts_, self.activation)

    def inverse_transform(self, X):
        """Return the rows that codes stand for.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_components)
            Codes.

        Returns
        -------
        rows : ndarray of shape (n_samples, n_features), float32
            Rebuilt rows.
        """
        check_is_fitted(self)
        codes = np.asarray(X, np.float32)
        if codes.ndim != 2 or codes.shape[1] != self.n_components:
            raise ValueError(f"Codes must have n_components={self.n_components} columns. Got shape {codes.shape}.")
        return compute_outputs(codes, self.decoder_coefs_, self.decoder_intercepts_, self.activation)

    def _check_together(self):
        if not all(isinstance(size, Integral) and size >= 1 for size in self.hidden_layer_sizes):
            raise ValueError(
                "The 'hidden_layer_sizes' parameter of AutoencoderEncoder must be a tuple of positive integers. "
                f"Got {self.hidden_layer_sizes!r} instead."
            )
        if self.noise == "masking" and self.noise_level >= 1:
            raise ValueError(f"noise='masking' needs a noise_level below 1. Got {self.noise_level!r} instead.")

    def _validate(self, X):
        return validate_data(self, to_numpy(X), dtype=np.float32, order="C", reset=False)

    def _make_stages(self, X, random):
        from transferkit._training.parameters import ParameterGroup
        from transferkit._training.stages import Activate, Linear

        sizes = [X.shape[1], *self.hidden_layer_sizes, self.n_components]
        sizes += sizes[-2::-1]
        group, gain = ParameterGroup(alpha=self.alpha), activation_gain(self.activation)
        n_layers, n_half = len(sizes) - 1, len(self.hidden_layer_sizes) + 1
        stages = []
        for position, shape in enumerate(pairwise(sizes)):
            is_linear = position + 1 in (n_half, n_layers)  # the code and the output
            weights = initialise_weights(shape, "xavier", random, gain=1.0 if is_linear else gain, dtype=np.float32)
            intercept = X.mean(axis=0) if position + 1 == n_layers else np.zeros(shape[1], np.float32)
            stages.append(Linear(weights, intercept, group))
            if not is_linear:
                stages.append(Activate(self.activation))
        return stages

    def _make_options(self, X, seed):
        from transferkit._training.network_task import Augmentation
        from transferkit._training.network_training import TrainingOptions

        spread = float(np.sqrt(X.var(axis=0).mean()))
        return TrainingOptions(
            loss=self.loss,
            solver=self.solver,
            learning_rate_init=self.learning_rate_init,
            learning_rate="cosine",
            batch_size=min(self.batch_size, len(X)),
            max_epochs=self.max_iter,
            tol=None,
            augmentation=Augmentation(
                noise=self.noise_level * spread if self.noise == "gaussian" else 0.0,
                dropout=self.noise_level if self.noise == "masking" else 0.0,
            ),
            seed=seed,
            device=self.device,
        )

    def _read(self, stages, history):
        linear = [stage for stage in stages if hasattr(stage, "weights")]
        n_half = len(self.hidden_layer_sizes) + 1
        return {
            "coefs_": [stage.weights for stage in linear[:n_half]],
            "intercepts_": [stage.intercept for stage in linear[:n_half]],
            "decoder_coefs_": [stage.weights for stage in linear[n_half:]],
            "decoder_intercepts_": [stage.intercept for stage in linear[n_half:]],
            "loss_curve_": [float(loss) for loss in history.loss],
            "n_iter_": len(history.loss),
        }

    def _to_network(self, X):
        """Return the rows and the layers up to the code, to be trained on with a head."""
        layers = []
        for coef, intercept in zip(self.coefs_, self.intercepts_, strict=True):
            layers += [LinearLayer(coef, intercept), ActivationLayer(self.activation)]
        return Network(self._validate(X), layers[:-1])

    def _with_layers(self, layers):
        """Return a copy with other weights up to the code."""
        linear = [layer for layer in layers if isinstance(layer, LinearLayer)]
        twin = type(self).__new__(type(self))
        vars(twin).update(vars(self), coefs_=[layer.weights for layer in linear])
        twin.intercepts_ = [layer.intercept for layer in linear]
        return twin

    @property
    def _n_features_out(self):
        return self.coefs_[-1].shape[1]

    def __sklearn_is_fitted__(self):
        return hasattr(self, "coefs_")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags
