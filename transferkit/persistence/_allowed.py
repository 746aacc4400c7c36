"""The classes that a model file may hold."""

import importlib

from transferkit.exceptions import ModelFileError

ALLOWED = {
    "transferkit.adaptation": (
        "CORAL",
        "FeatureAugmentation",
        "ImportanceWeighting",
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


class Trusted:
    """The classes that a caller trusts beside those above.

    Parameters
    ----------
    names : iterable of str or class, or None
        Full names, such as "my_package.MyTransformer", or the classes themselves.
    function : str
        Name of the function they were given to, for error messages.
    """

    def __init__(self, names, function):
        if isinstance(names, (str, type)) or not all(isinstance(name, (str, type)) for name in names or ()):
            raise ValueError(
                f"The 'trusted' parameter of {function} must be a list of full names of classes, such as "
                f"['my_package.MyTransformer'], or of classes. Got {names!r} instead."
            )
        self._names = {_full_name(name) if isinstance(name, type) else name for name in names or ()}

    def names(self, name):
        """Return whether the caller listed this name."""
        return name in self._names

    def class_of(self, name):
        """Return the class of that name if the caller listed it, else None; only listed names are imported."""
        if name not in self._names:
            return None
        module, _, class_name = name.rpartition(".")
        try:
            found = getattr(importlib.import_module(module), class_name)
        except (ImportError, AttributeError, ValueError) as error:
            raise ModelFileError(f"The trusted class {name!r} cannot be imported: {error}.") from error
        if not isinstance(found, type):
            raise ModelFileError(f"The trusted name {name!r} is a {type(found).__name__}, not a class.")
        return found

    def name_of(self, cls):
        """Return the name under which the caller listed a class, or None."""
        same_ending = sorted(name for name in self._names if name.rpartition(".")[2] == cls.__name__)
        return next((name for name in same_ending if self.class_of(name) is cls), None)


def how_to_trust(*names):
    """Return how a caller says that names are trusted, in Python and on the command line."""
    options = " ".join(f"--trusted {name}" for name in names)
    return f"trusted={list(names)} in Python, {options} on the command line"


def _full_name(cls):
    return f"{cls.__module__}.{cls.__qualname__}"


def name_of_class(cls):
    """Return the public name of an allowed class, or None for any other."""
    for module, names in ALLOWED.items():
        same_root = cls.__module__.startswith(module.split(".")[0] + ".")
        if same_root and cls.__name__ in names and getattr(importlib.import_module(module), cls.__name__) is cls:
            return f"{module}.{cls.__name__}"
    return None


def class_of_name(name):
    """Return the allowed class of that public name, or None."""
    module, _, class_name = str(name).rpartition(".")
    if class_name not in ALLOWED.get(module, ()):
        return None
    return getattr(importlib.import_module(module), class_name)
