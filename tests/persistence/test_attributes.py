"""A model file sets the attributes that a class declares, and no others; each estimator declares all that it has."""

import contextlib
import importlib
from inspect import getdoc, signature

import numpy as np
import pytest
from numpydoc.docscrape import NumpyDocString
from scipy import sparse
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import MiniBatchKMeans
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.utils._param_validation import StrOptions

import transferkit
from transferkit import (
    AutoencoderEncoder,
    DomainTransferClassifier,
    KMeansEncoder,
    LogisticHead,
    LogisticHeadCV,
    LSAEncoder,
    MLPHeadClassifier,
    MLPHeadRegressor,
    MultiTaskTransfer,
    PretrainedEncoder,
    RidgeHead,
    SelectiveClassifier,
    SOMEncoder,
    TfidfEncoder,
    TransferClassifier,
    TransferRegressor,
    WordVectorEncoder,
    adaptation,
    compression,
)
from transferkit.distributed import fit_sharded
from transferkit.persistence._allowed import ALLOWED, is_attribute_of
from transferkit.persistence._pack import get_state
from transferkit.transfer import EncoderReference

TEXTS = ["a matrix has rows", "rows of a matrix", "a vector has entries", "entries of a vector", "naïve Ω"] * 4
LABELS = ["matrix", "matrix", "vector", "vector", "other"] * 4
RANDOM = np.random.RandomState(0)
X, Y = RANDOM.rand(40, 6).astype(np.float32), np.arange(40) % 3
TAGS, DOMAINS = RANDOM.rand(40, 3) > 0.5, np.where(np.arange(40) % 2, 1 + np.arange(40) % 3, -1)  # three sources
WORDS = {"n_components": 2, "min_count": 1, "max_iter": 2}
EPOCHS = {"max_iter": 3, "hidden_layer_sizes": (4,)}

FITTED = {
    "TfidfEncoder": [
        lambda: TfidfEncoder().fit(TEXTS),
        lambda: TfidfEncoder(max_features=2, stop_words="english").fit(TEXTS),
        lambda: TfidfEncoder(vocabulary=["rows"]).fit(TEXTS),
        lambda: TfidfEncoder().partial_fit(TEXTS).merge(TfidfEncoder().partial_fit(TEXTS)),
        lambda: fit_sharded(TfidfEncoder(), [TEXTS, TEXTS]),
    ],
    "LSAEncoder": [
        lambda: LSAEncoder(2).fit(TEXTS),
        lambda: LSAEncoder(2).partial_fit(TEXTS).merge(LSAEncoder(2).partial_fit(TEXTS)),
        lambda: fit_sharded(LSAEncoder(2), [TEXTS, TEXTS]),
    ],
    "WordVectorEncoder": [
        *[lambda m=m: WordVectorEncoder(method=m, **WORDS).fit(TEXTS) for m in ("ppmi-svd", "glove", "sgns")],
        *[lambda m=m: WordVectorEncoder(method=m, subword=True, **WORDS).fit(TEXTS) for m in ("ppmi-svd", "sgns")],
        lambda: WordVectorEncoder(**WORDS).partial_fit(TEXTS).merge(WordVectorEncoder(**WORDS).partial_fit(TEXTS)),
        lambda: fit_sharded(WordVectorEncoder(**WORDS), [TEXTS, TEXTS]),
        lambda: WordVectorEncoder(**WORDS).fit(TEXTS).quantise(),
        lambda: WordVectorEncoder.distil(LSAEncoder(2).fit(TEXTS), [f"{a} {b}" for a in TEXTS[:5] for b in TEXTS[:5]]),
    ],
    "KMeansEncoder": [
        lambda: KMeansEncoder(3).fit(X),
        lambda: KMeansEncoder(3, whiten=True).fit(X),
        lambda: KMeansEncoder(3).partial_fit(X).partial_fit(X),
        lambda: fit_sharded(KMeansEncoder(3), [X, X]),
    ],
    "SOMEncoder": [lambda: SOMEncoder().fit(X)],
    "AutoencoderEncoder": [
        lambda: AutoencoderEncoder(max_iter=2).fit(X),
        lambda: AutoencoderEncoder(max_iter=2).fit(sparse.csr_array(X)),
    ],
    "PretrainedEncoder": [lambda: PretrainedEncoder(KMeansEncoder(3).fit(X)).fit(X)],
    "LogisticHead": [
        lambda: LogisticHead().fit(X, Y),
        lambda: LogisticHead().fit(X, TAGS),
        lambda: LogisticHead(prior=LogisticHead().fit(X, Y)).fit(X, Y),
    ],
    "LogisticHeadCV": [
        lambda: LogisticHeadCV(Cs=2, cv=2, store_oof=True).fit(X, Y),
        lambda: LogisticHeadCV(Cs=2, cv=2, store_oof=True, refit="average").fit(X, Y),
        lambda: LogisticHeadCV(Cs=2, cv=2, scoring="accuracy").fit(X, Y),
    ],
    "RidgeHead": [lambda: RidgeHead().fit(X, X[:, 0]), lambda: RidgeHead(cv=2).fit(X, X[:, :2])],
    "MLPHeadClassifier": [
        lambda: MLPHeadClassifier(**EPOCHS).fit(X, Y),
        lambda: MLPHeadClassifier(**EPOCHS).fit(X, TAGS),
        lambda: MLPHeadClassifier(**EPOCHS, early_stopping=True, batch_norm=True).fit(X, Y),
        lambda: MLPHeadClassifier(**EPOCHS, learning_rate_init="auto").fit(X, Y),
        lambda: MLPHeadClassifier(**EPOCHS, solver="lbfgs").fit(X, Y),
        lambda: MLPHeadClassifier(**EPOCHS).partial_fit(X, Y, classes=[0, 1, 2]),
        lambda: compression.quantise(MLPHeadClassifier(**EPOCHS).fit(X, Y)),
        lambda: compression.prune(MLPHeadClassifier(**EPOCHS).fit(X, Y), 0.5, X=X, y=Y),
    ],
    "MLPHeadRegressor": [
        lambda: MLPHeadRegressor(**EPOCHS).fit(X, X[:, 0]),
        lambda: MLPHeadRegressor(**EPOCHS).partial_fit(X, X[:, :2]),
    ],
    **{
        name: [lambda name=name: getattr(adaptation, name)().fit(X, Y, sample_domain=DOMAINS)]
        for name in ALLOWED["transferkit.adaptation"]
    },
    "ImportanceWeighting": [
        lambda method=method: adaptation.ImportanceWeighting(method=method).fit(X, sample_domain=DOMAINS)
        for method in ("logistic", "kliep", "kmm")
    ],
    "TransferClassifier": [
        lambda: TransferClassifier(LSAEncoder(2).fit(TEXTS), strategy="frozen").fit(TEXTS, LABELS),
        lambda: TransferClassifier(LSAEncoder(2).fit(TEXTS), strategy="auto").fit(TEXTS, LABELS),
        lambda: TransferClassifier(strategy="scratch").fit(TEXTS, LABELS),
        lambda: TransferClassifier(AutoencoderEncoder(max_iter=2).fit(X), strategy="finetune").fit(X, Y),
        lambda: TransferClassifier(source=TransferClassifier(strategy="scratch").fit(TEXTS, LABELS)).fit(TEXTS, LABELS),
    ],
    "TransferRegressor": [lambda: TransferRegressor(AutoencoderEncoder(max_iter=2).fit(X)).fit(X, X[:, 0])],
    "DomainTransferClassifier": [
        lambda: DomainTransferClassifier().fit(X, Y, X_target=X[::2]),
        lambda: DomainTransferClassifier(LSAEncoder(2).fit(TEXTS)).fit(TEXTS, LABELS, X_target=TEXTS),
    ],
    "MultiTaskTransfer": [
        lambda: MultiTaskTransfer(TransferClassifier(strategy="scratch")).fit(TEXTS, {"a": LABELS, "b": LABELS})
    ],
    "SelectiveClassifier": [
        lambda: SelectiveClassifier(LogisticHead(), coverage=0.8, method="both", cv=2).fit(X, Y),
        lambda: SelectiveClassifier(LogisticHead(), max_error=0.9, cv=2).fit(X, Y),
    ],
    "EncoderReference": [lambda: EncoderReference("shared-0.tk", "0" * 64)],
}  # fmt: skip
# How each estimator is fitted with other values of one of its parameters.
FITS = {
    **dict.fromkeys(ALLOWED["transferkit.adaptation"], lambda model: model.fit(X, Y, sample_domain=DOMAINS)),
    **dict.fromkeys(["TfidfEncoder", "LSAEncoder", "WordVectorEncoder"], lambda model: model.fit(TEXTS)),
    **dict.fromkeys(["KMeansEncoder", "SOMEncoder", "AutoencoderEncoder"], lambda model: model.fit(X)),
    **dict.fromkeys(["LogisticHead", "LogisticHeadCV", "MLPHeadClassifier"], lambda model: model.fit(X, Y)),
    **dict.fromkeys(["RidgeHead", "MLPHeadRegressor"], lambda model: model.fit(X, X[:, 0])),
    "DomainTransferClassifier": lambda model: model.fit(X, Y, X_target=X[::2]),
}
FAST = {"max_iter": 2, "min_count": 1, "n_clusters": 2, "shape": (2, 2), "hidden_layer_sizes": (4,), "cv": 2, "Cs": 2}
OWN = {
    name: getattr(importlib.import_module(module), name)
    for module, names in ALLOWED.items()
    for name in names
    if module.startswith("transferkit.")
}
# torch modules and names of sentence models: what these two hold is in tests/encoders/networks
TESTED_ELSEWHERE = {"TorchEncoder", "SentenceEncoder"}
# Only files of format 1, or of more than 200,000 terms, hold these; `_tally` is in earlier files of any size.
SELDOM = {
    "TfidfEncoder": {"_columns", "_idf", "_checks", "_document_frequency", "_hashes", "_total"}
    | {"_term_lengths", "_term_starts", "_term_text", "_tally"},
}


@pytest.mark.parametrize("name", sorted(OWN.keys() - TESTED_ELSEWHERE))
@pytest.mark.filterwarnings("ignore")
def test_fitted_attributes_are_the_declared_ones(name):
    cls, states = OWN[name], [get_state(fit()) for fit in FITTED[name]]
    declared = {item for base in cls.__mro__ for item in vars(base).get("fitted_attributes", ())}
    found = set().union(*states) - set(signature(cls).parameters)
    on_any = {"n_features_in_", "feature_names_in_", "n_shards_", "skipped_shards_"}
    assert found - on_any <= declared
    assert declared - found <= SELDOM.get(name, set())  # none is declared that no fit sets
    assert not [item for item in declared if hasattr(cls, item)]
    assert all(is_attribute_of(cls, item) for item in found)


@pytest.mark.parametrize("name", sorted(FITS))
@pytest.mark.filterwarnings("ignore")
def test_attributes_are_declared_for_every_value_of_a_parameter(name):
    cls, n_fitted = OWN[name], 0
    fast = {parameter: value for parameter, value in FAST.items() if parameter in signature(cls).parameters}
    for parameter, value in choices_of(cls):
        with contextlib.suppress(
            AttributeError, ValueError, OSError, ImportError, RuntimeError
        ):  # a choice that other data would need
            model = FITS[name](cls(**fast | {parameter: value}))
            n_fitted += 1
            undeclared = [item for item in get_state(model) if not is_attribute_of(cls, item)]
            assert undeclared == [], (parameter, value)
    assert n_fitted or not list(choices_of(cls))


def choices_of(cls):
    for parameter, constraints in cls._parameter_constraints.items():
        for constraint in constraints if isinstance(constraints, list) else []:
            options = constraint.options if isinstance(constraint, StrOptions) else set()
            for value in [True, False] if constraint == "boolean" else sorted(options):
                yield parameter, value


@pytest.mark.parametrize("name", sorted(OWN))
def test_documented_attributes_are_declared(name):
    entries = NumpyDocString(getdoc(OWN[name]))["Attributes"]
    documented = [item for entry in entries for item in entry.name.split(", ")]
    assert [item for item in documented if not is_attribute_of(OWN[name], item) and not hasattr(OWN[name], item)] == []


class Doubler(TransformerMixin, BaseEstimator):
    def fit(self, X, y=None):
        self.factor_, self._note = np.float64(2), "seen"
        return self

    def transform(self, X):
        return self.factor_ * np.asarray(X)


class NotedHead(LogisticHead):
    pass


@pytest.mark.parametrize(
    ("cls", "name", "expected"),
    [
        (LogisticHead, "coef_", True),
        (LogisticHead, "C", True),
        (LogisticHead, "n_features_in_", True),
        (LogisticHead, "note_", False),
        (LogisticHead, "_note", False),
        (LogisticHead, "predict", False),
        (LogisticHead, "fitted_attributes", False),
        (StandardScaler, "scale_", True),
        (StandardScaler, "_scale", False),
        (StandardScaler, "note", False),
        (StandardScaler, "_sklearn_output_config", True),
        (PCA, "_fit_svd_solver", True),
        (StandardScaler, "_fit_svd_solver", False),
        (Doubler, "factor_", True),
        (Doubler, "_note", True),
        (Doubler, "transform", False),
        (Doubler, "__class__", False),
        (Doubler, "a b", False),
        (NotedHead, "note_", True),
    ],
)
def test_attribute_that_a_file_may_set(cls, name, expected):
    assert is_attribute_of(cls, name) is expected


@pytest.mark.parametrize(
    ("estimator", "data"),
    [
        (MiniBatchKMeans(2, n_init=1), (X,)),
        (OneHotEncoder(max_categories=2), (Y[:, None],)),
        (CalibratedClassifierCV(LogisticRegression(), method="sigmoid"), (X, Y)),
    ],
    ids=["MiniBatchKMeans", "OneHotEncoder", "CalibratedClassifierCV"],
)
def test_private_attributes_of_scikit_learn_are_known(estimator, data):
    estimator = clone(estimator).fit(*data)
    assert [name for name in get_state(estimator) if not is_attribute_of(type(estimator), name)] == []


def test_trusted_subclass_is_completed_as_its_base(tmp_path):
    path = tmp_path / "encoder.tk"
    transferkit.save(NotedEncoder(vocabulary=["rows", "has"]).fit(TEXTS), path, trusted=[NotedEncoder])
    loaded = transferkit.load(path, trusted=[NotedEncoder])
    np.testing.assert_array_equal(loaded.idf_, TfidfEncoder(vocabulary=["rows", "has"]).fit(TEXTS).idf_)
    assert loaded.vocabulary_ == {"rows": 0, "has": 1}


class NotedEncoder(TfidfEncoder):
    pass
