"""Pretrained sentence embedding models as frozen encoders of texts, loaded by the package that suits them."""

import json
import os
import warnings
from collections import OrderedDict
from contextlib import suppress
from importlib.util import find_spec
from numbers import Integral
from pathlib import Path
from threading import RLock
from typing import NamedTuple, Self

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.callback import CallbackSupportMixin

from transferkit._algorithms.linalg.decompositions import unit_rows
from transferkit._estimator import VersionedEstimator, share_callbacks
from transferkit._types import FilePath, SentenceModel
from transferkit._validation import HasMethods, Interval, check_texts, fit_context, validate_parameter_constraints
from transferkit.encoders._steps import BATCHES_PER_STEP, encode_in_steps, report_fit
from transferkit.exceptions import MissingExtraError, ModelFileError, count_inner_frames, how_to_trust

__all__ = [
    "SentenceEncoder",
]

_MOST_MODELS = 4  # kept loaded per process
_loaded = OrderedDict()  # (name, device) -> model
_lock = RLock()  # tokenizers are not thread-safe, and two threads must not load a model twice


class SentenceEncoder(CallbackSupportMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin, VersionedEstimator):
    """Encode texts by a frozen sentence-transformers or model2vec model.

    Parameters
    ----------
    model : str, path or object
        Name of a model on the Hugging Face hub, or folder of a model: it is loaded (and downloaded if necessary) at its
        first use, once per process. Or a SentenceTransformer, a StaticModel, or any object whose
        ``encode(texts)`` returns embeddings; ``clone`` keeps that object.
    batch_size : int, default=32
        Number of texts per forward pass.
    device : str, default="auto"
        Device: "auto" (CUDA if available; a model given as an object stays where it is), "cpu", "cuda" or "cuda:1".
        model2vec always uses the CPU.
    normalize : bool, default=True
        Whether to normalise embeddings to unit length.
    max_length : int or None, default=None
        Number of tokens after which texts are truncated; if None, the model decides.

    See Also
    --------
    PretrainedEncoder : Encodes each text once per process, across clones and folds.
    WordVectorEncoder : Word vectors trained on your own texts.
    TransferClassifier : Encoder and head as one estimator.

    Notes
    -----
    Needs ``pip install "transferkit[sentence]"``. Static models, which consist of one vector per token, are loaded by
    model2vec if it is installed, so that embeddings do not depend on whether sentence-transformers is installed too:
    model2vec leaves out unknown tokens, while sentence-transformers, which is used with a warning if model2vec is
    missing, includes the vector of the unknown token. All other models are loaded by sentence-transformers. Code that
    comes with a model is not run (``trust_remote_code`` stays off): load such a model yourself and pass the object.

    `fit` learns nothing and is optional. ``set_callbacks(ProgressBar())`` shows the progress of ``fit_transform``, of
    which four batches are a task; a request to stop has no effect.

    Pickles and model files hold the name of the model instead of the model. They are small, and the model must be
    available under that name when they are loaded. ``transferkit.load`` opens it only if the caller names it, too:
    ``load(path, trusted=["sentence-transformers/all-MiniLM-L6-v2"])``. A model given as an object is pickled by the
    rules of its class. :func:`transferkit.save` raises an error for it: save the model to a folder, and pass its path.

    Examples
    --------
    >>> from transferkit import SentenceEncoder
    >>> class Lengths:
    ...     def encode(self, texts):
    ...         return [[len(text), text.count(" ")] for text in texts]
    >>> SentenceEncoder(Lengths(), normalize=False).transform(["a text", "another"])
    array([[6., 1.], [7., 0.]], dtype=float32)
    """

    _parameter_constraints: dict = {
        "model": [str, os.PathLike, HasMethods("encode")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "device": [str],
        "normalize": ["boolean"],
        "max_length": [Interval(Integral, 1, None, closed="left"), None],
    }

    def __init__(
        self,
        model: FilePath | SentenceModel,
        *,
        batch_size: int = 32,
        device: str = "auto",
        normalize: bool = True,
        max_length: int | None = None,
    ) -> None:
        self.model = model
        self.batch_size = batch_size
        self.device = device
        self.normalize = normalize
        self.max_length = max_length

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X=None, y=None) -> Self:
        """Check the texts; nothing is learned, and the model is not loaded.

        Parameters
        ----------
        X : iterable of str, default=None
            Texts.
        y : None
            Ignored; here for scikit-learn's API.

        Returns
        -------
        self : SentenceEncoder
            The encoder, unchanged.
        """
        with report_fit(self, X, y):
            if X is not None:
                check_texts(X)
        return self

    @fit_context(prefer_skip_nested_validation=True)
    def fit_transform(self, X, y=None) -> np.ndarray:
        """Return the embeddings of the texts, as `transform` does, and report the progress to callbacks.

        Parameters
        ----------
        X : iterable of str
            Texts.
        y : None
            Ignored; here for scikit-learn's API.

        Returns
        -------
        rows : ndarray of shape (n_samples, n_features_out), float32
            Embeddings.
        """
        texts = check_texts(X)
        return encode_in_steps(self, texts, y, self._encode, BATCHES_PER_STEP * self.batch_size)

    def transform(self, X) -> np.ndarray:
        """Return the embeddings of the texts.

        Parameters
        ----------
        X : iterable of str
            Texts.

        Returns
        -------
        rows : ndarray of shape (n_samples, n_features_out), float32
            Embeddings.

        Raises
        ------
        MissingExtraError
            If the package that loads the model is missing.
        ValueError
            If the folder does not exist, or the model cannot truncate texts to `max_length`.
        """
        texts = check_texts(X)
        validate_parameter_constraints(self._parameter_constraints, self.get_params(deep=False), "SentenceEncoder")
        return self._encode(texts)

    def get_file_state(self):
        """Return the state to write, with the name of the model.

        Returns
        -------
        state : dict
            Parameters and fitted attributes by name.
        """
        if not isinstance(self.model, (str, os.PathLike)):
            raise ModelFileError(
                f"A SentenceEncoder whose model is an object (a {type(self.model).__name__}) cannot be saved: a model "
                "file holds the name of the model. Save the model to a folder of its own (model.save or "
                "model.save_pretrained) and use SentenceEncoder(folder), or use joblib.dump."
            )
        return vars(self) | {"model": os.fspath(self.model)}

    def finish_loading(self, trusted):
        """Raise an error for a model that the caller does not trust: it would be opened or downloaded.

        Parameters
        ----------
        trusted : Trusted
            The classes, functions and names that the caller of `load` trusts.
        """
        if type(self.model) is not str:
            raise ValueError("the model of a SentenceEncoder is missing")
        if not trusted.includes(self.model):
            raise ModelFileError(
                f"The model file uses the sentence model {self.model!r}, which is not in it and would be loaded from "
                f"there. If you trust it, name it: {how_to_trust(self.model)}."
            )

    @property
    def _n_features_out(self):
        return self._encode(["a"]).shape[1]

    def __sklearn_is_fitted__(self):
        return True

    def __sklearn_clone__(self):
        duplicate = super().__sklearn_clone__() if isinstance(self.model, (str, os.PathLike)) else None
        if duplicate is None:
            duplicate = type(self)(**self.get_params(deep=False))  # the same object, not a copy of it
        return share_callbacks(self, duplicate)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.input_tags.string, tags.input_tags.two_d_array = True, False
        return tags

    def _encode(self, texts):
        with _lock:
            rows = _encode(self._load(), texts, self.batch_size, self._device_of_object(), self.max_length)
        rows = np.array(rows, dtype=np.float32, order="C")
        if rows.ndim != 2 or len(rows) != len(texts):
            raise ValueError(
                f"The model of SentenceEncoder returned an array of shape {rows.shape} for {len(texts)} texts: it must "
                "have one row per text."
            )
        if self.normalize:
            unit_rows(rows, out=rows)
        return rows

    def _load(self):
        if not isinstance(self.model, (str, os.PathLike)):
            return self.model
        key = (os.fspath(self.model), self.device)
        if key not in _loaded:
            _loaded[key] = _load_sentence_model(*key)
        _loaded.move_to_end(key)
        while len(_loaded) > _MOST_MODELS:
            _loaded.popitem(last=False)
        return _loaded[key]

    def _device_of_object(self):
        is_name = isinstance(self.model, (str, os.PathLike))
        return None if is_name or self.device == "auto" else self.device


def _encode(model, texts, batch_size, device, max_length):
    packages = {cls.__module__.partition(".")[0] for cls in type(model).__mro__}
    if "model2vec" in packages:
        options = {} if max_length is None else {"max_length": max_length}
        return model.encode(texts, batch_size=batch_size, use_multiprocessing=False, **options)
    if "sentence_transformers" not in packages:
        if max_length is not None:
            raise ValueError(f"SentenceEncoder cannot set max_length of a {type(model).__name__}: set it to None.")
        return model.encode(texts)
    before = model.max_seq_length
    if max_length is not None:
        _truncate(model, max_length)
    try:
        return model.encode(texts, batch_size=batch_size, device=device)
    finally:
        if max_length is not None:
            model.max_seq_length = before


def _truncate(model, max_length):
    with suppress(AttributeError):
        model.max_seq_length = max_length
    if model.max_seq_length != max_length:
        raise ValueError(
            "The model of SentenceEncoder cannot truncate texts to max_length: set it to None, or truncate them before."
        )


def _load_sentence_model(name, device):
    """Load a model by its name on the Hugging Face hub, or its folder, for "auto" or a device of sentence-transformers.

    A static model is loaded by model2vec, if that is installed.
    """
    is_folder = Path(name).is_dir()
    if not is_folder and (name.startswith((".", "~", "/")) or name.count("/") > 1):
        raise ValueError(f"There is no folder {name!r} with a sentence model.")
    has_model2vec, has_other = _is_installed("model2vec"), _is_installed("sentence_transformers")
    found = _inspect_files(name) if is_folder or has_other else _Found(is_static=has_model2vec)
    if found.is_static and has_model2vec:
        from model2vec import StaticModel

        return StaticModel.from_pretrained(name, **({"normalize": True} if found.is_normalized else {}))
    if not has_other or found.is_for_model2vec_alone:
        raise MissingExtraError(f"Loading the sentence model {name!r}", "sentence")
    if found.is_static:
        warnings.warn(
            f"The static model {name!r} is loaded by sentence-transformers, which includes unknown tokens: "
            "embeddings of texts with such tokens differ from those of model2vec. Install it: "
            "pip install 'transferkit[sentence]'.",
            UserWarning,
            stacklevel=count_inner_frames(),
        )
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(name, device=None if device == "auto" else device)


class _Found(NamedTuple):
    """Properties of a model that its files declare."""

    is_static: bool = False
    is_normalized: bool = False
    is_for_model2vec_alone: bool = False  # no modules.json, or vectors in a format of model2vec


def _inspect_files(name):
    modules = _read_json(name, "modules.json", list)
    kinds = [str(module.get("type")).rpartition(".")[2] for module in modules]
    if kinds and kinds not in (["StaticEmbedding"], ["StaticEmbedding", "Normalize"]):
        return _Found()
    config = _read_json(name, "config.json", dict)
    if not kinds:
        return _Found(is_static := _is_static(name, config), False, is_static)
    is_compressed = "vocabulary_quantization" in config or "int" in str(config.get("embedding_dtype"))
    return _Found(_has_readable_vectors(name, modules[0].get("path")), len(kinds) == 2, is_compressed)


def _is_static(name, config):
    """Return whether a model without modules.json is one of model2vec."""
    if "model_type" in config or "architectures" in config:
        return config.get("model_type") == "model2vec"
    return all((Path(name) / file).is_file() for file in ("config.json", "model.safetensors", "tokenizer.json"))


def _has_readable_vectors(name, path):
    """Return whether model2vec finds the vectors of a StaticEmbedding, which it looks for in two places."""
    is_known = path in ("", ".", "0_StaticEmbedding")
    return is_known and (not Path(name).is_dir() or (Path(name) / path / "model.safetensors").is_file())


def _read_json(name, file, kind):
    """Return a JSON file of a model, or an empty list or dict if it has none."""
    path = Path(name) / file if Path(name).is_dir() else _find_on_hub(name, file)
    if path is None or not path.is_file():
        return kind()
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"The file {str(path)!r} of a sentence model is damaged: {error}.") from error
    if not isinstance(content, kind) or (kind is list and not all(isinstance(part, dict) for part in content)):
        raise ValueError(f"The file {str(path)!r} of a sentence model is damaged: it holds {str(content)[:60]!r}.")
    return content


def _find_on_hub(name, file):
    """Return the path of one file of a model on the hub, downloaded if necessary; None if there is none."""
    if not _is_installed("huggingface_hub"):
        return None
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(name, file))
    except Exception:  # of many classes; if the model does not exist, the package that loads it raises
        return None


def _is_installed(package):
    return find_spec(package) is not None
