"""What must hold of loaded state before compiled code, which checks nothing, gets to see it."""

import numpy as np
from sklearn.utils._openmp_helpers import _openmp_effective_n_threads

from transferkit.exceptions import ModelFileError
from transferkit.persistence._file_input import has_file_input

# Parameters of transferkit's classes that may be a path in Python. In a file they must not: the file would choose what
# else is opened, and paths that end in .joblib or .pkl are code.
PATH_PARAMETERS = ("source", "encoder", "prior")


def check_estimator(estimator, name, *, allow_file_input=False):
    """Raise ModelFileError (or ValueError) unless an estimator that was just built is safe to use.

    Parameters
    ----------
    estimator : estimator
        Its state is set.
    name : str
        Public name of its class.
    allow_file_input : bool, default=False
        Whether the caller lets the model open files that its input names.
    """
    state = vars(estimator)
    if has_file_input(state) and not allow_file_input:
        raise ModelFileError(
            f"The model file holds a {name} with input={state['input']!r}: its input names files, so whoever sends "
            "texts to the model chooses which files of this machine are read. If all input is your own, say "
            "load(path, allow_file_input=True)."
        )
    if name.startswith("transferkit."):
        for parameter in PATH_PARAMETERS:
            if isinstance(state.get(parameter), str):
                raise ModelFileError(f"The model file names another file ({name}.{parameter}), which is not opened.")
    if isinstance(state.get("memory"), str):
        raise ModelFileError(f"The model file names a folder ({name}.memory), which is not opened.")
    _CHECKS.get(name, bool)(estimator)


def _check_k_means(estimator):
    _require_shape(estimator, "cluster_centers_", (None, estimator.n_features_in_))
    if "_n_threads" in vars(estimator):
        estimator._n_threads = _openmp_effective_n_threads()  # of this machine; the file's could be any number


def _check_nmf(estimator):
    _require_shape(estimator, "components_", (estimator._n_components, estimator.n_features_in_))


def _check_category_encoder(estimator):
    if not getattr(estimator, "_infrequent_enabled", False):
        return
    mappings, infrequent = estimator._default_to_infrequent_mappings, estimator._infrequent_indices
    for categories, mapping, rare in zip(estimator.categories_, mappings, infrequent, strict=True):
        if mapping is not None:
            n_codes = len(categories) - len(rare) + 1
            if mapping.shape != categories.shape or mapping.min() < 0 or mapping.max() >= n_codes:
                raise ValueError("codes of categories out of range")


def _rebuild_isotonic(estimator):
    estimator._build_f(estimator.X_thresholds_, estimator.y_thresholds_)  # which scikit-learn's pickles leave out, too


_CHECKS = {
    "sklearn.cluster.KMeans": _check_k_means,
    "sklearn.cluster.MiniBatchKMeans": _check_k_means,
    "sklearn.decomposition.NMF": _check_nmf,
    "sklearn.isotonic.IsotonicRegression": _rebuild_isotonic,
    "sklearn.preprocessing.OneHotEncoder": _check_category_encoder,
    "sklearn.preprocessing.OrdinalEncoder": _check_category_encoder,
}


def _require_shape(estimator, name, shape):
    array = getattr(estimator, name)
    fits = isinstance(array, np.ndarray) and array.ndim == len(shape) and array.dtype.kind == "f"
    if not fits or any(size is not None and size != found for size, found in zip(shape, array.shape, strict=True)):
        raise ValueError(f"{name} must be numbers of shape {shape}")
