"""Save and load: an estimator as a file that holds no code; files that are loaded once per process."""

import datetime
import inspect
import json
import os
import platform
import reprlib
import warnings
from collections import OrderedDict
from collections.abc import Callable, Collection
from pathlib import Path
from threading import Lock
from typing import Any, Literal

import joblib
import sklearn
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from transferkit.exceptions import ModelFileError, ModelVersionWarning, count_inner_frames
from transferkit.persistence._allowed import Trusted, full_name, is_function
from transferkit.persistence._bounds import Budget
from transferkit.persistence._container import (
    FORMAT,
    check_hexdigests,
    open_container,
    read_arrays,
    read_header,
    write_container,
)
from transferkit.persistence._fingerprint import remember_fingerprint
from transferkit.persistence._pack import Packer, get_state
from transferkit.persistence._packaged import PACKAGED_MODELS, find_file
from transferkit.persistence._probe import find_reason_not_to_run, gives_nan, make_probe, passes_probe
from transferkit.persistence._unpack import Unpacker
from transferkit.persistence.protocols import DescribesParameters

__all__ = ["is_pickle", "load", "load_shared", "load_with_outcome", "save"]

_PACKAGES = ("transferkit", "scikit-learn", "numpy", "scipy")
_MOST_LISTED = 200  # classes listed in the summary; the others are only counted
_MOST_FILES = 16
_loaded: OrderedDict = OrderedDict()
_lock = Lock()


def save(
    estimator: BaseEstimator,
    path: str | os.PathLike[str],
    *,
    card: dict[str, Any] | None = None,
    sign_key: bytes | None = None,
    trusted: Collection[str | Callable[..., Any]] | None = None,
    compress: bool = False,
) -> None:
    """Write a fitted estimator to a model file: its arrays and plain data, no code.

    Parameters
    ----------
    estimator : estimator
        A fitted estimator of transferkit, or one of scikit-learn's whose state is plain arrays (such as linear models,
        scalers, PCA and naive Bayes), or a Pipeline or FeatureUnion of these.
    path : str or path
        Name of the file, by convention ending in ``.tk``. An existing file is replaced atomically: after a crash or on
        a full disk the old file is still there. The new file has the mode of the old one. A symbolic link remains a
        link, and its target is replaced; content for devices and pipes is copied into them.
    card : dict, default=None
        Information about the model as JSON data, such as metrics, notes and licence. `describe` shows it.
    sign_key : bytes, default=None
        Secret key to sign the file with (HMAC-SHA256), for ``load(path, verify_key=...)``.
    trusted : list of str, class or function, default=None
        Other classes that the file may hold, such as your own transformer: "my_package.MyTransformer". Their
        attributes must be plain data; their code is not in the file. Also functions at the top level of a module, such
        as a tokenizer: "my_package.cut"; the file holds their import path. Whoever loads the file must list them, too.
    compress : bool, default=False
        Compress arrays of integers, such as the text of the vocabulary. The file is half a megabyte smaller per 100,000
        terms, loads some milliseconds slower, and its vocabulary is not shared by processes. Weights are not
        compressed.

    Raises
    ------
    ValueError
        If the card is not JSON data, or the path is "english", the name of an encoder of the package.
    NotFittedError
        If the estimator is not fitted.
    ModelFileError
        If it holds something other than plain data, such as a tree, or a function that is not trusted or cannot be
        imported (a lambda, a functools.partial, a function of ``__main__``). The message names the attribute.
    OSError
        If the file cannot be written.

    Warns
    -----
    UserWarning
        If the estimator returns NaN for ordinary numbers, or for texts that consist of its own terms.

    See Also
    --------
    load : Read the file.
    describe : Describe a file without loading it.

    Examples
    --------
    >>> import os, tempfile
    >>> from transferkit import TfidfEncoder, load, save
    >>> path = os.path.join(tempfile.mkdtemp(), "encoder.tk")
    >>> save(TfidfEncoder().fit(["one text", "another text"]), path)
    >>> load(path).transform(["text"]).toarray()
    array([[0., 0., 1.]], dtype=float32)
    """
    if not isinstance(estimator, BaseEstimator):
        raise ModelFileError(f"Only estimators can be saved. Got {estimator!r} ({type(estimator).__name__}) instead.")
    try:
        check_is_fitted(estimator)
    except NotFittedError:
        name = type(estimator).__name__
        raise NotFittedError(f"This {name} is not fitted, so there is nothing to save: call fit first.") from None
    from importlib.metadata import version  # here, because `load` does without

    _check_is_not_packaged(path)
    card = _check_card(card)
    _check_key(sign_key, "sign_key of save")
    packer = Packer(Trusted(trusted, "save"), compress=compress)
    root = packer.pack(estimator, type(estimator).__name__)
    probe = make_probe(estimator)
    if probe is not None and gives_nan(probe):
        warnings.warn(
            f"This {type(estimator).__name__} returns NaN for ordinary input. It is saved as it is; its weights or its "
            "training data probably contain NaN.",
            stacklevel=count_inner_frames(),
        )
    metadata = {
        "format": FORMAT,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}},
        "summary": _summarise(estimator),
        "card": card,
        "root": root,
        "estimators": packer.estimators,
        "probe": packer.pack(probe, "probe"),
    }
    packer.check_size(sum(array.nbytes for array in packer.arrays.values()))
    write_container(path, packer.arrays, metadata, sign_key=sign_key)


def load(
    path: str | os.PathLike[str],
    *,
    trusted: Collection[str | Callable[..., Any]] | None = None,
    mmap: bool = True,
    verify: Literal["probe", "full"] | None = "probe",
    verify_key: bytes | None = None,
    allow_file_input: bool = False,
) -> Any:
    """Read an estimator from a model file, without running code of the file.

    Parameters
    ----------
    path : str or path
        A file written by :func:`save`, or "english" for the encoder of the package.
    trusted : list of str, class or function, default=None
        Other classes that the file may hold, such as "my_package.MyTransformer", and functions that it may name, such
        as "my_package.cut". Importing them runs the code of their modules, and using the model runs theirs, as does the
        self-test; so list only code that you would run anyway. No constructor runs during loading, and the file cannot
        set an attribute that a class itself defines, such as a method.
    mmap : bool, default=True
        Memory-map the arrays, read-only: they are read from the file on first access, and processes share them.
        Otherwise they are read into memory.
    verify : {"probe", "full", None}, default="probe"
        "probe" runs the self-test: it compares the model's output for a few stored samples with the output stored when
        the model was saved, unless the file could make that run endlessly (docs/model-files.md lists the cases). "full"
        also compares every byte with the stored digest, which reads the whole file.
    verify_key : bytes, default=None
        Raise an error unless the file was signed with this secret key; reads the whole file.
    allow_file_input : bool, default=False
        Load models that read the files named by their input, such as ``TfidfEncoder(input="filename")``. Whoever sends
        texts to such a model chooses which files of this machine it reads, so allow it only if all input is your own.

    Returns
    -------
    estimator : estimator
        The fitted estimator.

    Raises
    ------
    ModelFileError
        If the file is missing, damaged, not a model file, newer than this version of transferkit can read, holds a
        class that may not be loaded, reads files named by its input, is not signed with `verify_key`, or fails the
        self-test.

    Warns
    -----
    ModelVersionWarning
        If it was written with a newer major version of scikit-learn than the one installed.

    See Also
    --------
    save : Write the file.
    """
    options = {"trusted": trusted, "mmap": mmap, "verify": verify, "verify_key": verify_key}
    return load_with_outcome(path, **options, allow_file_input=allow_file_input)[0]


def load_with_outcome(path, *, trusted=None, mmap=True, verify="probe", verify_key=None, allow_file_input=False):
    """Return the estimator, as `load` does, and why the self-test was not run; None if it was run and passed."""
    if verify not in ("probe", "full", None):
        raise ValueError(f"The 'verify' parameter of load must be 'probe', 'full' or None. Got {verify!r} instead.")
    _check_key(verify_key, "verify_key of load")
    trusted_classes = Trusted(trusted, "load")
    with open_container(path) as file:  # once: a file that is replaced meanwhile must not be mixed with its replacement
        header = read_header(file)
        metadata = header.metadata
        _warn_if_newer(path, metadata)
        if verify == "full" or verify_key is not None:
            check_hexdigests(file, header, digest=verify == "full", key=verify_key)
        arrays = read_arrays(file, header, mmap=mmap)
        status = os.fstat(file.fileno())
    try:
        budget = Budget(header.n_bytes)
        budget.spend_on_json(header.json_cost)
        unpacker = Unpacker(arrays, metadata["estimators"], budget, trusted_classes, allow_file_input=allow_file_input)
        estimator = unpacker.unpack(metadata["root"])
        if not isinstance(estimator, BaseEstimator):
            raise ValueError(f"its root is a {type(estimator).__name__}")
        for index, inner in enumerate(unpacker.estimators):  # so that a large model is not read to compute its name
            where = (status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size, index)
            if isinstance(inner, BaseEstimator):
                remember_fingerprint(inner, "file {}:{}:{}:{} estimator {}".format(*where))
        probe = unpacker.unpack(metadata["probe"])
    except ModelFileError as error:
        raise ModelFileError(f"{error} (file {os.fspath(path)!r})") from None
    except (ArithmeticError, AttributeError, LookupError, MemoryError, RecursionError, TypeError, ValueError) as error:
        raise ModelFileError(f"The model file {os.fspath(path)!r} is damaged: {error!r}.") from error
    is_skipped = verify is None
    not_compared = (
        "verify=None skips the self-test" if is_skipped else find_reason_not_to_run(probe, unpacker.estimators)
    )
    if not_compared is None and not passes_probe(estimator, probe):
        raise ModelFileError(
            f"The model in {os.fspath(path)!r} fails its self-test: it gives other results than when it was saved. The "
            f"file is damaged, or the installed versions differ too much from {metadata.get('versions')}. "
            "load(path, verify=None) loads it anyway."
        )
    return estimator, not_compared


def load_shared(path, trusted=None):
    """Return the estimator in a file, the same object for all callers as long as the file does not change.

    Files ending in ``.joblib``, ``.pkl`` or ``.pickle`` are loaded by joblib, which runs their code. `trusted` is as in
    :func:`transferkit.load`; a file is loaded once per such list: the trust of one caller does not extend to another.
    """
    path = Path(find_file(path))
    names = Trusted(trusted, "load").names
    try:
        status = path.stat()
    except OSError:
        raise ModelFileError(f"There is no model file {os.fspath(path)!r}.") from None
    key = (path.resolve(), status.st_ino, status.st_mtime_ns, status.st_size, names)
    with _lock:  # two threads must not load the same file twice
        if key not in _loaded:
            _loaded[key] = _load_pickled(path) if is_pickle(path) else load(path, trusted=trusted)
        _loaded.move_to_end(key)
        while len(_loaded) > _MOST_FILES:
            _loaded.popitem(last=False)
        return _loaded[key]


def is_pickle(path):
    """Return whether the name of a file is that of a joblib or pickle file."""
    return Path(path).suffix in (".joblib", ".pkl", ".pickle")


def _warn_if_newer(path, metadata):
    """Warn if the file was written with a newer scikit-learn, whose models the installed one may misread."""
    versions = metadata.get("versions")
    written = str(versions.get("scikit-learn")).partition(".")[0] if isinstance(versions, dict) else ""
    if written.isdecimal() and int(written[:9]) > int(sklearn.__version__.partition(".")[0]):
        warnings.warn(
            f"The model file {os.fspath(path)!r} was written with scikit-learn {versions['scikit-learn']}, "
            f"and {sklearn.__version__} is installed, which may misread it. Upgrade: "
            "pip install --upgrade scikit-learn.",
            ModelVersionWarning,
            stacklevel=count_inner_frames(),
        )


def _load_pickled(path):
    try:
        return joblib.load(path)
    except Exception as error:  # unpickling damaged bytes can raise anything
        raise ModelFileError(f"The file {os.fspath(path)!r} could not be loaded by joblib: {error!r}.") from error


def _check_is_not_packaged(path):
    if isinstance(path, str) and path in PACKAGED_MODELS:
        raise ValueError(
            f"{path!r} is the name of an encoder of the package, and load({path!r}) reads that. Save under another "
            f"name, such as '{path}.tk'."
        )


def _check_card(card):
    try:
        if not isinstance(card, (dict, type(None))):
            raise TypeError(f"got a {type(card).__name__}")
        return json.loads(json.dumps(card or {}, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ValueError(f"The 'card' parameter of save must be a dict of JSON data: {error}.") from None


def _check_key(key, name):
    if key is not None and (not isinstance(key, bytes) or not key):
        raise ValueError(f"The {name} must be non-empty bytes. Got {type(key).__name__} instead.")


def _summarise(estimator):
    """Return the summary that `describe` shows: parameters as text, classes, number of features."""
    state, signature = get_state(estimator), inspect.signature(type(estimator))
    texts = estimator.describe_parameters() if issubclass(type(estimator), DescribesParameters) else {}
    parameters = {name: texts.get(name) or _show(state[name]) for name in signature.parameters if name in state}
    classes = getattr(estimator, "classes_", None)
    n_features = getattr(estimator, "n_features_in_", None)
    return {
        "class": type(estimator).__name__,
        "parameters": parameters,
        "changed": [name for name, text in parameters.items() if text != _show(signature.parameters[name].default)],
        "n_classes": None if classes is None else len(classes),
        "classes": None if classes is None else [str(label) for label in classes[:_MOST_LISTED]],
        "n_features_in": None if n_features is None else int(n_features),
    }


class _Names(reprlib.Repr):
    """Short representations; of inner estimators only the class name, as their parameters may name the user's files."""

    def repr_instance(self, x, level):
        if is_function(x):
            return full_name(x)  # without its address
        return f"{type(x).__name__}(...)" if isinstance(x, BaseEstimator) else super().repr_instance(x, level)


_show = _Names().repr
