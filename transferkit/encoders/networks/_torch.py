"""Trained torch modules as frozen encoders."""

from collections.abc import Sequence
from copy import copy
from numbers import Integral
from typing import Any, Self

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.callback import CallbackSupportMixin
from sklearn.exceptions import NotFittedError

from transferkit._estimator import VersionedEstimator, share_callbacks
from transferkit._lazy import DerivedValues
from transferkit._validation import (
    HasMethods,
    Interval,
    check_row_width,
    check_sizes,
    fit_context,
    to_numpy,
    unchanged_on_error,
    validate_data,
    validate_parameter_constraints,
)
from transferkit.encoders._steps import BATCHES_PER_STEP, encode_in_steps, report_fit

__all__ = ["TorchEncoder"]

_MOST_TO_TUNE = 1_000_000  # parameters up to which strategy="auto" tries fine-tuning

_copies = DerivedValues()  # ModuleFeatures of encoders


class TorchEncoder(CallbackSupportMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin, VersionedEstimator):
    """Use a trained torch module, frozen, as an encoder of numbers or of images.

    Parameters
    ----------
    module : torch.nn.Module or torch.export.ExportedProgram
        The trained network. It is not changed, and ``clone`` keeps it; a copy of it computes the features.
    output : str or None, default=None
        Name of the layer whose output is used as features, such as "avgpool" or "layers.2", as in
        ``module.named_modules()``; the output of the module if None. Use the penultimate layer to replace the last
        one by a head. If a layer runs several times, its last output is used.
    batch_size : int, default=256
        Number of samples per forward pass.
    device : str, default="auto"
        Device: "auto" (CUDA if available), "cpu", "cuda" or "cuda:1".
    input_shape : tuple of int or None, default=None
        Shape of one sample in the module, such as (3, 32, 32) for channels, height, width. If None, samples keep their
        shape, which may have more than one dimension.

    Attributes
    ----------
    layer_names_ : ndarray of str objects
        Names that `output` may have; set by `fit`.
    n_features_in_ : int
        Number of values per sample; known after `fit` on data, or with `input_shape`.

    See Also
    --------
    PretrainedEncoder : Encodes each sample once per process, across clones and folds.
    TransferClassifier : With ``strategy="finetune"`` trains a copy of the module together with a head.
    SentenceEncoder : Networks for texts.

    Notes
    -----
    Samples are converted to the type of the module's parameters. The copy is in evaluation mode (no dropout, fixed
    batch normalisation) and computes no gradients. Outputs of more than one dimension are flattened. `fit` learns
    nothing and is optional, except after the module was changed in place: without it the old copy would be used.
    ``set_callbacks(ProgressBar())`` shows the progress of ``fit_transform``, of which four batches are a task; a
    request to stop has no effect.

    Load weights with ``module.load_state_dict(torch.load(path, weights_only=True))``, which runs no code of the file.
    A program from ``torch.export.export(module.eval(), (rows,), dynamic_shapes=({0: Dim("rows")},))`` does not need the
    source code of the module; if it was exported for a fixed batch size, it is given batches of that size. It must be
    exported in evaluation mode, and it cannot be fine-tuned.

    This encoder and :class:`SentenceEncoder` are the only estimators that need torch to transform. Pickles hold the
    tensors as NumPy arrays, so that a module from a GPU loads on any machine, and the class by its name. Model files
    (:func:`transferkit.save`) hold arrays, names of classes and plain attributes, but no code: common layers of
    torch.nn load without further ado, other classes only if the caller names them,
    ``load(path, trusted=["my_package.MyNet"])``, and their constructors are not run. An exported program needs
    ``trusted=["torch.export.ExportedProgram"]``, because ``torch.export.load`` may run code of the file.

    Fine-tuning keeps the module in evaluation mode and does not change parameters that require no gradient. Its layers
    are unfrozen in up to four blocks, the last one first, one per epoch [1]_. ``strategy="auto"`` tries fine-tuning of
    modules of up to a million parameters.

    References
    ----------
    .. [1] J. Howard and S. Ruder, "Universal language model fine-tuning for text classification", ACL (2018).

    Examples
    --------
    >>> import torch
    >>> from transferkit import TorchEncoder
    >>> network = torch.nn.Sequential(
    ...     torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten(),
    ...     torch.nn.Linear(16, 10),
    ... )
    >>> encoder = TorchEncoder(network, output="3", input_shape=(1, 8, 8))
    >>> encoder.transform([[0.5] * 64] * 3).shape
    (3, 16)
    """

    fitted_attributes = ("layer_names_", "_n_features_in", "_row_shape")

    _parameter_constraints: dict = {
        "module": [HasMethods("named_parameters")],
        "output": [str, None],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "device": [str],
        "input_shape": [tuple, list, None],
    }

    def __init__(
        self,
        module: Any,
        *,
        output: str | None = None,
        batch_size: int = 256,
        device: str = "auto",
        input_shape: Sequence[int] | None = None,
    ) -> None:
        self.module = module
        self.output = output
        self.batch_size = batch_size
        self.device = device
        self.input_shape = input_shape

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X=None, y=None) -> Self:
        """Check that the module can be used; nothing is learned.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or (n_samples, ...), default=None
            Samples; the first two are encoded.
        y : None
            Ignored; here for scikit-learn's API.

        Returns
        -------
        self : TorchEncoder
            The encoder.

        Raises
        ------
        ValueError
            If there is no layer `output` (the message lists the names), or the module cannot process such samples.
        TypeError
            If it does not return one tensor.
        """
        with report_fit(self, X, y):
            self._learn(X)
        return self

    @fit_context(prefer_skip_nested_validation=True)
    def fit_transform(self, X, y=None) -> np.ndarray:
        """Check that the module can be used, return the features of samples, and report the progress to callbacks.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or (n_samples, ...)
            Samples.
        y : None
            Ignored; here for scikit-learn's API.

        Returns
        -------
        features : ndarray of shape (n_samples, n_features_out), float32
            Features.
        """
        self._learn(X)
        rows, step = self._validate(X, reset=False), BATCHES_PER_STEP * self.batch_size
        return encode_in_steps(self, rows, y, self._features().compute, step)

    def transform(self, X) -> np.ndarray:
        """Return the features of samples.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or (n_samples, ...)
            Samples.

        Returns
        -------
        features : ndarray of shape (n_samples, n_features_out), float32
            Features.
        """
        features = self._features()
        return features.compute(self._validate(X, reset=False))

    def can_fine_tune(self, quickly=False):
        """Return whether the module can be trained: no exported program, and with parameters that require gradients.

        Parameters
        ----------
        quickly : bool, default=False
            Whether the module also has to have at most a million parameters.

        Returns
        -------
        can_fine_tune : bool
            Whether `to_network` may be called.
        """
        if not hasattr(self.module, "register_forward_hook"):  # an exported program
            return False
        parameters = list(self.module.parameters())
        is_small = sum(tensor.numel() for tensor in parameters) <= _MOST_TO_TUNE
        return any(tensor.requires_grad for tensor in parameters) and (is_small or not quickly)

    def to_network(self, X):
        """Return the encoder as the input and the layers of a network.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features) or (n_samples, ...)
            Samples.

        Returns
        -------
        rows : ndarray of shape (n_samples, n_values), float32
            Flattened samples.
        layers : list of Layer
            The module as one layer.
        """
        from transferkit._training.modules.features import ModuleLayer

        X = self._validate(X, reset=False)
        layer = ModuleLayer(self.module, self.output, X.shape[1:], self.batch_size, self.device)
        return X.reshape(len(X), -1), [layer]

    def with_layers(self, layers):
        """Return a copy with another module.

        Parameters
        ----------
        layers : list of Layer
            One layer, as that of `to_network`.

        Returns
        -------
        encoder : TorchEncoder
            The copy.
        """
        duplicate = copy(self)
        duplicate.module = layers[0].module
        return duplicate

    def get_file_state(self):
        """Return the state to write, with the module as plain data.

        Returns
        -------
        state : dict
            Parameters and fitted attributes by name.
        """
        from transferkit._training.modules.state import describe_module

        return vars(self) | {"module": describe_module(self.module)}

    def describe_parameters(self):
        """Return the text that `describe` shows for the module: its classes, some of which may have to be trusted.

        Returns
        -------
        texts : dict of str to str
            Text of the parameter `module`.
        """
        from transferkit._training.modules.state import list_classes

        return {"module": " ".join(list_classes(self.module))}

    def finish_loading(self, trusted):
        """Build the module from the plain data of a file, of trusted classes alone.

        Parameters
        ----------
        trusted : Trusted
            The classes, functions and names that the caller of `load` trusts.
        """
        from transferkit._training.modules.state import rebuild_module

        if not isinstance(self.module, dict):
            raise ValueError("the module of a TorchEncoder is missing")
        self.module = rebuild_module(self.module, trusted.class_of)

    @property
    def n_features_in_(self):
        """Number of values per sample."""
        if "_n_features_in" in vars(self):
            return self._n_features_in
        if self.input_shape is None:
            raise AttributeError(
                "TorchEncoder does not know n_features_in_ before fit(X), unless input_shape is given."
            )
        return int(np.prod(self.input_shape))

    @n_features_in_.setter
    def n_features_in_(self, n_features):
        self._n_features_in = n_features

    @property
    def _n_features_out(self):
        shape = self.input_shape or vars(self).get("_row_shape")
        if shape is None:
            raise NotFittedError("TorchEncoder knows the number of its features after fit(X), or with input_shape.")
        return self._features().compute(np.zeros((1, *shape), np.float32)).shape[1]

    def __sklearn_is_fitted__(self):
        return True

    def __sklearn_clone__(self):
        return share_callbacks(self, type(self)(**self.get_params(deep=False)))  # the same module: it is never changed

    def __copy__(self):  # the default copies `__getstate__`, in which the module is converted
        duplicate = type(self).__new__(type(self))
        vars(duplicate).update(vars(self))
        return duplicate

    def __getstate__(self):
        from transferkit._training.modules.state import to_picklable

        state = super().__getstate__()
        return state | {"module": to_picklable(self.module)}

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.transformer_tags.preserves_dtype = ["float32"]
        tags.input_tags.three_d_array = self.input_shape is None
        return tags

    def _features(self):
        """Return the copy of the module that computes features, made when it is first needed."""

        def make_features():
            validate_parameter_constraints(self._parameter_constraints, self.get_params(deep=False), "TorchEncoder")
            return self._make_features()

        return _copies.get(self, self._sources(), make_features)

    def _learn(self, X):
        """Make a copy of the module, and check that it can be used, for the first two samples if there are any."""
        with unchanged_on_error(self):
            features = self._make_features()
            if X is not None:
                X = self._validate(X, reset=True)
                features.compute(X[:2])
                self._row_shape = X.shape[1:]
            self.layer_names_ = np.array(features.names, dtype=object)
        _copies.set(self, self._sources(), features)

    def _sources(self):
        return self.module, self.output, self.batch_size, self.device

    def _make_features(self):
        from transferkit._training.modules.features import ModuleFeatures, is_module

        if not is_module(self.module):
            raise ValueError(
                "The 'module' parameter of TorchEncoder must be a torch.nn.Module or a torch.export.ExportedProgram. "
                f"Got {self.module!r} instead. torch.export.load reads programs; weights alone need the module that "
                "they are for: module.load_state_dict(torch.load(path, weights_only=True))."
            )
        return ModuleFeatures(self.module, self.output, self.batch_size, self.device)

    def _validate(self, X, reset):
        check_sizes(self, "input_shape")
        X, shape = to_numpy(X), self.input_shape
        shape_of_row = tuple(getattr(X, "shape", ())[1:])
        if shape is not None and shape_of_row:
            check_row_width("input_shape", shape, np.prod(shape_of_row))
        if len(shape_of_row) > 1:  # images as they are
            X = np.reshape(X, (len(X), -1))
        if not reset and "_n_features_in" not in vars(self) and hasattr(X, "columns"):  # no names from a fit to compare
            X = np.asarray(X)
        X = validate_data(self, X, dtype=np.float32, order="C", reset=reset)
        if shape is None:
            return X.reshape(len(X), *shape_of_row) if len(shape_of_row) > 1 else X
        check_row_width("input_shape", shape, X.shape[1])
        return X.reshape(len(X), *shape)
