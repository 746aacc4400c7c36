"""The classes that a model file may hold."""

import importlib

ALLOWED = {
    "transferkit.encoders": ("LSAEncoder", "PretrainedEncoder", "TfidfEncoder", "WordVectorEncoder"),
    "transferkit.heads": ("LogisticHead", "LogisticHeadCV", "MLPHeadClassifier", "MLPHeadRegressor", "RidgeHead"),
    "transferkit.transfer": ("EncoderReference", "MultiTaskTransfer", "TransferClassifier", "TransferRegressor"),
    "sklearn.compose": ("ColumnTransformer",),
    "sklearn.decomposition": ("FastICA", "IncrementalPCA", "NMF", "PCA", "TruncatedSVD"),
    "sklearn.discriminant_analysis": ("LinearDiscriminantAnalysis", "QuadraticDiscriminantAnalysis"),
    "sklearn.dummy": ("DummyClassifier",),
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
