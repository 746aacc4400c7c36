"""Autoencoders: features from which samples can be reconstructed."""

import warnings
from collections.abc import Sequence
from copy import copy
from numbers import Integral, Real
from typing import Literal, Self

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.callback import CallbackSupportMixin
from sklearn.utils import check_random_state

from transferkit._algorithms.linalg.moments import column_means, mean_and_variance
from transferkit._algorithms.networks.layers import ACTIVATIONS, predict
from transferkit._estimator import FitProgress, VersionedEstimator
from transferkit._types import Seed
from transferkit._validation import (
    FLOATS,
    Interval,
    StrOptions,
    check_is_fitted,
    check_row_width,
    check_sizes,
    fit_context,
    to_numpy,
    unchanged_on_error,
    validate_data,
)
from transferkit.encoders._pretraining import PretrainableMixin, warns_of_lost_pretraining
from transferkit.encoders.networks._autoencoder_layers import (
    Architecture,
    decoder_layers,
    encoder_layers,
    initial_layers,
    read_arrays,
)
from transferkit.exceptions import count_inner_frames

__all__ = ["AutoencoderEncoder"]

# Measured on samples of three latent factors in ten features: beyond the first limit the reconstruction explains less
# than 70 % of the variance, and beyond the second less than half of the variance of the other features.
MOST_OFFSET = 5  # ratio of the root mean squares of means and standard deviations
MOST_SHARE = 0.99  # of all variance in one feature


class AutoencoderEncoder(
    PretrainableMixin, CallbackSupportMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin, VersionedEstimator
):
    """Encode samples by the bottleneck of a (denoising) autoencoder, a network that reconstructs its input.

    Parameters
    ----------
    hidden_layer_sizes : tuple of int, default=(256,)
        Numbers of units of the encoder's hidden layers; the decoder mirrors them.
    n_components : int, default=32
        Number of units of the code, which are the features.
    activation : {"relu", "leaky_relu", "elu", "tanh", "sigmoid", "gelu", "identity"}, default="relu"
        Activation of the hidden layers. The code and the output are linear.
    noise : {"gaussian", "masking"} or None, default="masking"
        Corruption of the input, from which the original is reconstructed [2]_: normal noise is added, or entries are
        set to zero (and the others scaled up, so that the mean is preserved).
    noise_level : float, default=0.2
        Standard deviation of the noise relative to the root mean variance of the features, or share of the entries
        that are masked. In sparse input only stored entries are corrupted.
    tied_weights : bool, default=False
        Whether the decoder has the transposed weights of the encoder [1]_. For linear layers only.
    image_shape : tuple (height, width) or (height, width, n_channels) or None, default=None
        Shape of the images that samples hold: the encoder begins, and the decoder ends, with convolutions.
    conv_channels : tuple of int, default=(16, 32)
        With `image_shape`: numbers of channels of 3 x 3 convolutions, each of which halves height and width. The
        decoder upsamples by repeating pixels, then convolves [3]_.
    loss : {"squared_error", "absolute_error", "huber"}, default="squared_error"
        Reconstruction loss.
    solver : {"adam", "adamw", "sgd", "nesterov", "rmsprop"}, default="adam"
        Optimiser.
    learning_rate_init : float, default=2e-3
        Initial learning rate, annealed to zero along a cosine.
    alpha : float, default=0.0
        Strength of the L2 penalty on the weights.
    batch_size : int, default=128
        Number of samples per step.
    max_iter : int, default=100
        Number of epochs.
    device : str, default="auto"
        Device of `fit`: "auto" (CUDA if available), "cpu" or "cuda". `transform` uses NumPy.
    random_state : int, RandomState instance or None, default=0
        Seed of initial weights, batches and noise. By default the encoder is the same each time on the same device.

    Attributes
    ----------
    coefs_ : list of ndarray of shape (n_inputs, n_outputs), float32
        Weights of the encoder; a convolution has one row per channel and pixel of its kernel.
    intercepts_ : list of ndarray of shape (n_outputs,), float32
        Intercepts of the encoder.
    decoder_coefs_ : list of ndarray or None
        Weights of the decoder; None with `tied_weights`.
    decoder_intercepts_ : list of ndarray
        Intercepts of the decoder.
    loss_curve_ : list of float
        Mean loss of each epoch, with corrupted input.
    n_iter_ : int
        Number of epochs.
    n_features_in_ : int
        Number of features seen in `fit`.

    See Also
    --------
    LSAEncoder : The linear counterpart for texts; PCA is that for numbers.
    TransferClassifier : With ``strategy="finetune"`` trains the encoder together with a head.

    Notes
    -----
    The input layer works on CSR matrices as they are; as targets of the reconstruction they are converted to dense,
    batch by batch. The network has a weight for each feature and hidden unit, and a second one unless weights are tied,
    so it is best to limit wide input to frequent features (``max_features``).

    `transform` and `inverse_transform` use NumPy; convolutions are products with patches.

    References
    ----------
    .. [1] G. Hinton, R. Salakhutdinov (2006). Reducing the dimensionality of data with neural networks. Science 313.
    .. [2] P. Vincent et al. (2010). Stacked denoising autoencoders. JMLR 11.
    .. [3] A. Odena, V. Dumoulin, C. Olah (2016). Deconvolution and checkerboard artifacts. Distill.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from transferkit import AutoencoderEncoder
    >>> X = load_digits().data / 16
    >>> encoder = AutoencoderEncoder((64,), n_components=8, max_iter=5).fit(X)
    >>> encoder.transform(X).shape, encoder.inverse_transform(encoder.transform(X)).shape
    ((1797, 8), (1797, 64))
    """

    fitted_attributes = ("coefs_", "decoder_coefs_", "decoder_intercepts_", "intercepts_", "loss_curve_", "n_iter_")

    _parameter_constraints: dict = {
        "hidden_layer_sizes": [tuple, list],
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "activation": [StrOptions(set(ACTIVATIONS))],
        "tied_weights": ["boolean"],
        "image_shape": [tuple, list, None],
        "conv_channels": [tuple, list],
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
        hidden_layer_sizes: Sequence[int] = (256,),
        n_components: int = 32,
        *,
        activation: Literal["relu", "leaky_relu", "elu", "tanh", "sigmoid", "gelu", "identity"] = "relu",
        noise: Literal["gaussian", "masking"] | None = "masking",
        noise_level: float = 0.2,
        tied_weights: bool = False,
        image_shape: Sequence[int] | None = None,
        conv_channels: Sequence[int] = (16, 32),
        loss: Literal["squared_error", "absolute_error", "huber"] = "squared_error",
        solver: Literal["adam", "adamw", "sgd", "nesterov", "rmsprop"] = "adam",
        learning_rate_init: float = 2e-3,
        alpha: float = 0.0,
        batch_size: int = 128,
        max_iter: int = 100,
        device: str = "auto",
        random_state: Seed = 0,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.n_components = n_components
        self.activation = activation
        self.noise = noise
        self.noise_level = noise_level
        self.tied_weights = tied_weights
        self.image_shape = image_shape
        self.conv_channels = conv_channels
        self.loss = loss
        self.solver = solver
        self.learning_rate_init = learning_rate_init
        self.alpha = alpha
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.device = device
        self.random_state = random_state

    @fit_context(prefer_skip_nested_validation=True)
    @warns_of_lost_pretraining
    def fit(self, X, y=None) -> Self:
        """Train the network to reconstruct unlabelled samples.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples. Scale features to similar ranges around zero first, for example with
            :class:`~sklearn.preprocessing.StandardScaler`: the network reconstructs them as they are, in float32.
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

        Warns
        -----
        UserWarning
            If features are so far from zero, or one of them is so much larger than the others, that the network learns
            little about the rest.
        """
        from transferkit._training.network.data import Examples
        from transferkit._training.network.parameters import ParameterGroup
        from transferkit._training.network.training import train_network

        self._check_together()
        progress = FitProgress(self, self.max_iter, "epoch")
        with unchanged_on_error(self):
            X = self._validate(X, reset=True, dtype=FLOATS)
            _warn_of_scales(X)
            X = X.astype(np.float32, copy=False)
            progress.begin(X, y, None)
            random = check_random_state(self.random_state)
            layers = initial_layers(self._architecture(), column_means(X), random, self.tied_weights)
            trained = train_network(
                layers,
                Examples(X, X),
                self._make_options(X, int(random.randint(2**31 - 2))),
                groups=[ParameterGroup(alpha=self.alpha)] * len(layers),
                on_epoch=lambda read, history: progress.step(lambda: self._read(read(), history)),
            )
        fitted = self._read(trained.layers, trained.history)
        vars(self).update(fitted)
        progress.end(fitted)
        return self

    def transform(self, X) -> np.ndarray:
        """Return the codes of samples.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        codes : ndarray of shape (n_samples, n_components), float32
            Codes.
        """
        check_is_fitted(self)
        return predict(self._encoder_layers(), self._validate(X))

    def inverse_transform(self, X) -> np.ndarray:
        """Return the samples reconstructed from codes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_components)
            Codes.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features), float32
            Reconstructed samples.
        """
        check_is_fitted(self)
        codes = np.asarray(X, np.float32)
        if codes.ndim != 2 or codes.shape[1] != self.n_components:
            raise ValueError(f"Codes must have n_components={self.n_components} columns. Got shape {codes.shape}.")
        coefs = [coef.T for coef in self.coefs_[::-1]] if self.tied_weights else self.decoder_coefs_
        return predict(decoder_layers(self._architecture(), coefs, self.decoder_intercepts_), codes)

    def can_fine_tune(self, quickly=False):
        """Return True: the encoder is a network.

        Parameters
        ----------
        quickly : bool, default=False
            Whether fine-tuning must also take little time.

        Returns
        -------
        can_fine_tune : bool
            True.
        """
        return True

    def to_network(self, X):
        """Return the encoder as the input and the layers of a network.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples.

        Returns
        -------
        rows : {ndarray, csr_matrix} of shape (n_samples, n_features), float32
            The samples, checked.
        layers : list of Layer
            The layers up to the code.
        """
        return self._validate(X), self._encoder_layers()

    def with_layers(self, layers):
        """Return a copy with other weights up to the code.

        Parameters
        ----------
        layers : list of Layer
            Layers of the same shapes as those of `to_network`.

        Returns
        -------
        encoder : AutoencoderEncoder
            The copy.
        """
        duplicate = copy(self)
        duplicate.coefs_, duplicate.intercepts_ = read_arrays(layers)
        return duplicate

    @property
    def _n_features_out(self):
        return len(self.intercepts_[-1])

    def __sklearn_is_fitted__(self):
        return hasattr(self, "coefs_")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        tags.input_tags.sparse = self.image_shape is None
        return tags

    def _check_together(self):
        check_sizes(self, "hidden_layer_sizes")
        check_sizes(self, "conv_channels")
        check_sizes(self, "image_shape", (2, 3))
        if self.noise == "masking" and self.noise_level >= 1:
            raise ValueError(f"noise='masking' needs a noise_level below 1. Got {self.noise_level!r} instead.")
        if self.tied_weights and self.image_shape is not None:
            raise ValueError(
                "tied_weights=True needs linear layers, and image_shape adds convolutions: give only one of them."
            )

    def _validate(self, X, reset=False, dtype=np.float32):
        accept = "csr" if self.image_shape is None else False
        X = validate_data(self, to_numpy(X), accept_sparse=accept, dtype=dtype, order="C", reset=reset)
        if self.image_shape is not None:
            check_row_width("image_shape", self.image_shape, X.shape[1])
        return X

    def _architecture(self):
        shape = None if self.image_shape is None else (*self.image_shape, 1)[:3]
        channels = () if shape is None else tuple(self.conv_channels)
        sizes = (*self.hidden_layer_sizes, self.n_components)
        return Architecture(self.n_features_in_, shape, channels, sizes, self.activation)

    def _encoder_layers(self):
        return encoder_layers(self._architecture(), self.coefs_, self.intercepts_)

    def _make_options(self, X, seed):
        from transferkit._training.network.data import Augmentation
        from transferkit._training.network.training import TrainingOptions

        spread = float(np.sqrt(mean_and_variance(X)[1].mean()))
        return TrainingOptions(
            loss=self.loss,
            solver=self.solver,
            learning_rate_init=self.learning_rate_init,
            learning_rate="cosine",
            batch_size=min(self.batch_size, X.shape[0]),
            max_epochs=self.max_iter,
            tol=None,
            augmentation=Augmentation(
                noise=self.noise_level * spread if self.noise == "gaussian" else 0.0,
                dropout=self.noise_level if self.noise == "masking" else 0.0,
            ),
            seed=seed,
            device=self.device,
        )

    def _read(self, layers, history):
        coefs, intercepts = read_arrays(layers)
        n_half = len(intercepts) // 2
        return {
            "coefs_": coefs[:n_half],
            "intercepts_": intercepts[:n_half],
            "decoder_coefs_": None if self.tied_weights else coefs[n_half:],
            "decoder_intercepts_": intercepts[n_half:],
            "loss_curve_": [float(loss) for loss in history.loss],
            "n_iter_": len(history.loss),
        }


def _warn_of_scales(X):
    """Warn about offsets or scales of features that dominate the reconstruction loss."""
    mean, variance = mean_and_variance(X)
    total = variance.sum()
    if np.square(mean).sum() > MOST_OFFSET**2 * total > 0:
        problem = f"Features lie more than {MOST_OFFSET} standard deviations away from zero (root mean squares)"
    elif X.shape[1] > 1 and variance.max() > MOST_SHARE * total:
        problem = f"One feature holds more than {MOST_SHARE:.0%} of all variance"
    else:
        return
    warnings.warn(
        f"{problem}, so that AutoencoderEncoder learns little about the rest. Scale the features first, for example "
        "with StandardScaler.",
        UserWarning,
        stacklevel=count_inner_frames(),
    )
