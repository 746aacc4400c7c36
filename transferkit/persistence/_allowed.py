"""The classes that a model file may hold, the attributes that it may set, and the functions that it may name."""

import importlib
from functools import lru_cache
from inspect import signature

from transferkit.exceptions import ModelFileError

__all__ = [
    "ALLOWED",
    "PATH_PARAMETERS",
    "SESSION_ATTRIBUTES",
    "Trusted",
    "class_of_name",
    "full_name",
    "is_attribute_of",
    "is_function",
    "name_of_class",
]

ALLOWED = {
    "transferkit.adaptation": (
        "CORAL",
        "DomainWeighting",
        "FeatureAugmentation",
        "ImportanceWeighting",
        "JointDistributionAdaptation",
        "LabelShiftWeighting",
        "LinearTransport",
        "MarginalizedDenoising",
        "StructuralCorrespondence",
        "SubspaceAlignment",
    ),
    "transferkit.encoders": (
        "AutoencoderEncoder",
        "KMeansEncoder",
        "LSAEncoder",
        "PretrainedEncoder",
        "SOMEncoder",
        "SentenceEncoder",
        "TfidfEncoder",
        "TorchEncoder",
        "WordVectorEncoder",
    ),
    "transferkit.heads": ("LogisticHead", "LogisticHeadCV", "MLPHeadClassifier", "MLPHeadRegressor", "RidgeHead"),
    "transferkit.selection": ("SelectiveClassifier",),
    "transferkit.transfer": (
        "DomainTransferClassifier",
        "EncoderReference",
        "MultiTaskTransfer",
        "TransferClassifier",
        "TransferRegressor",
    ),
    "sklearn.calibration": (
        "CalibratedClassifierCV",
        "_CalibratedClassifier",
        "_SigmoidCalibration",
        "_TemperatureScaling",
    ),
    "sklearn.cluster": ("KMeans", "MiniBatchKMeans"),
    "sklearn.compose": ("ColumnTransformer",),
    "sklearn.decomposition": ("FastICA", "IncrementalPCA", "NMF", "PCA", "TruncatedSVD"),
    "sklearn.discriminant_analysis": ("LinearDiscriminantAnalysis", "QuadraticDiscriminantAnalysis"),
    "sklearn.dummy": ("DummyClassifier",),
    "sklearn.frozen": ("FrozenEstimator",),
    "sklearn.isotonic": ("IsotonicRegression",),
    "sklearn.linear_model": (
        "ElasticNet",
        "Lasso",
        "LinearRegression",
        "LogisticRegression",
        "LogisticRegressionCV",
        "Ridge",
        "RidgeCV",
        "RidgeClassifier",
        "RidgeClassifierCV",
    ),
    "sklearn.naive_bayes": ("BernoulliNB", "ComplementNB", "GaussianNB", "MultinomialNB"),
    "sklearn.pipeline": ("FeatureUnion", "Pipeline"),
    "sklearn.preprocessing": (
        "Binarizer",
        "FunctionTransformer",
        "LabelBinarizer",
        "MaxAbsScaler",
        "MinMaxScaler",
        "Normalizer",
        "OneHotEncoder",
        "OrdinalEncoder",
        "PolynomialFeatures",
        "PowerTransformer",
        "QuantileTransformer",
        "RobustScaler",
        "StandardScaler",
    ),
    "sklearn.svm": ("LinearSVC", "LinearSVR"),
}

# Parameters of this package's classes that may be a path in Python. A file must not hold paths: they would choose which
# other files are opened, and those that end in .joblib or .pkl are code.
PATH_PARAMETERS = ("source", "encoder", "prior", "teacher")
# Attributes of the current session, which no file holds: callbacks, metadata routing requests, versions, and how an
# encoder was fitted: one from a file is pretrained.
SESSION_ATTRIBUTES = frozenset(
    {
        "_callback_fit_ctx",
        "_metadata_request",
        "_parent_callback_ctx",
        "_pretraining",
        "_skl_callbacks",
        "_skl_callbacks_to_teardown",
        "_sklearn_version",
        "_transferkit_version",
    }
)
# Attributes that functions of scikit-learn and fit_sharded set on any estimator.
_SET_ON_ANY = frozenset(
    {"n_features_in_", "feature_names_in_", "_sklearn_output_config", "n_shards_", "skipped_shards_"}
)
# The fitted attributes of scikit-learn's classes that do not follow its convention of one trailing underscore.
_OTHER_ATTRIBUTES = {
    "ColumnTransformer": ("_columns", "_remainder", "_transformer_to_input_indices", "_transformers_feature_names_out"),
    "DummyClassifier": ("_strategy",),
    "FastICA": ("_unmixing",),
    "FeatureUnion": ("_transformers_feature_names_out",),
    "KMeans": ("_algorithm", "_n_features_out", "_n_init", "_n_threads", "_tol"),
    "Lasso": ("l1_ratio",),
    "LinearDiscriminantAnalysis": ("_max_components", "_n_features_out"),
    "MiniBatchKMeans": (
        "_batch_size",
        "_counts",
        "_ewa_inertia",
        "_ewa_inertia_min",
        "_init_size",
        "_n_features_out",
        "_n_init",
        "_n_since_last_reassign",
        "_n_threads",
        "_no_improvement",
        "_random_state",
        "_tol",
    ),
    "NMF": ("_beta_loss", "_n_components"),
    "OneHotEncoder": (
        "_default_to_infrequent_mappings",
        "_drop_idx_after_grouping",
        "_infrequent_enabled",
        "_infrequent_indices",
        "_n_features_outs",
    ),
    "OrdinalEncoder": (
        "_default_to_infrequent_mappings",
        "_infrequent_enabled",
        "_infrequent_indices",
        "_missing_indices",
    ),
    "PCA": ("_fit_svd_solver",),
    "PolynomialFeatures": ("_max_degree", "_min_degree", "_n_out_full"),
    "PowerTransformer": ("_scaler",),
    "RidgeClassifier": ("_label_binarizer",),
    "RidgeClassifierCV": ("_label_binarizer", "alpha_per_target", "gcv_mode"),
}


def name_of_class(cls):
    """Return the public name of an allowed class, or None for any other."""
    for module, names in ALLOWED.items():
        same_root = cls.__module__.startswith(module.split(".")[0] + ".")
        if same_root and cls.__name__ in names and getattr(importlib.import_module(module), cls.__name__) is cls:
            return f"{module}.{cls.__name__}"
    return None


def class_of_name(name):
    """Return the allowed class of this public name, or None."""
    module, _, class_name = str(name).rpartition(".")
    if class_name not in ALLOWED.get(module, ()):
        return None
    return getattr(importlib.import_module(module), class_name)


def is_attribute_of(cls, name):
    """Return whether a model file may set an attribute of an estimator's class.

    True for parameters and for the fitted attributes of a class: those that a class of this package declares
    (`fitted_attributes`), and those that scikit-learn's convention and the table above name. The state of any other
    class, which the caller of `load` trusts, may have any name. False for names that the class itself defines, such
    as methods and properties, which a file must not hide.
    """
    if not name.isidentifier() or name.startswith("__") or hasattr(cls, name):
        return False
    public_name = name_of_class(cls)
    if public_name is None or name in _listed_attributes(cls):
        return True
    return public_name.startswith("sklearn.") and name.endswith("_") and not name.startswith("_")


@lru_cache(maxsize=1024)
def _listed_attributes(cls):
    declared = {name for base in cls.__mro__ for name in vars(base).get("fitted_attributes", ())}
    return declared.union(_SET_ON_ANY, _OTHER_ATTRIBUTES.get(cls.__name__, ()), signature(cls).parameters)


class Trusted:
    """The classes and functions that a caller trusts in addition to the allowed classes.

    They are given by full names, such as "my_package.MyTransformer" or "my_package.cut", or themselves; the attribute
    `names` is the set of full names. `function` is the one they were given to, for error messages.
    """

    def __init__(self, names, function):
        if isinstance(names, str) or callable(names) or not all(map(_is_name_or_code, names or ())):
            raise ValueError(
                f"The 'trusted' parameter of {function} must be a list of full names of classes and functions, such as "
                f"['my_package.MyTransformer', 'my_package.cut'], or of classes and functions. Got {names!r} instead."
            )
        self.names = frozenset(name if isinstance(name, str) else full_name(name) for name in names or ())

    def includes(self, name):
        """Return whether the caller listed this name."""
        return name in self.names

    def class_of(self, name):
        """Return the class of this name if the caller listed it, else None; only listed names are imported."""
        if name not in self.names:
            return None
        found = _import(name, "class")
        if not isinstance(found, type):
            raise ModelFileError(f"The trusted name {name!r} is a {type(found).__name__}, not a class.")
        return found

    def function_of(self, name):
        """Return the function of this name if the caller listed it, else None; only listed names are imported."""
        if name not in self.names:
            return None
        found = _import(name, "function")
        if not is_function(found):
            raise ModelFileError(f"The trusted name {name!r} is a {type(found).__name__}, not a function.")
        return found

    def name_of(self, cls):
        """Return the name under which the caller listed a class, or None."""
        return self._find_name(cls, self.class_of)

    def name_of_function(self, function):
        """Return the name under which the caller listed a function and which imports this very object, or None."""
        return self._find_name(function, self.function_of)

    def _find_name(self, value, import_name):
        same_ending = sorted(name for name in self.names if name.rpartition(".")[2] == value.__name__)
        return next((name for name in same_ending if import_name(name) is value), None)


def is_function(value):
    """Return whether a value is a function with a name: a Python function, a compiled one, or a ufunc."""
    return callable(value) and not isinstance(value, type) and isinstance(getattr(value, "__name__", None), str)


def full_name(value):
    """Return the import path of a class or function, from its own attributes."""
    module = getattr(value, "__module__", None) or type(value).__module__  # ufuncs of NumPy 2.0 do not know theirs
    return f"{module}.{getattr(value, '__qualname__', value.__name__)}"


def _is_name_or_code(value):
    return isinstance(value, (str, type)) or is_function(value)


def _import(name, kind):
    module, _, last = name.rpartition(".")
    try:
        return getattr(importlib.import_module(module), last)
    except (ImportError, AttributeError, ValueError) as error:
        raise ModelFileError(f"The trusted {kind} {name!r} cannot be imported: {error}.") from error
