"""What holds for every estimator of rows of numbers in its default settings: one list of invariances."""

import ast
import inspect
import multiprocessing
import re
import subprocess
import sys
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from numpydoc.docscrape import ClassDoc
from scipy import sparse
from sklearn import config_context
from sklearn.base import clone, is_regressor
from sklearn.decomposition import PCA
from sklearn.ensemble import AdaBoostClassifier, BaggingClassifier, BaggingRegressor
from sklearn.metrics import accuracy_score, r2_score
from sklearn.model_selection import StratifiedKFold

import transferkit
from transferkit import (
    CORAL,
    AutoencoderEncoder,
    DomainTransferClassifier,
    DomainWeighting,
    FeatureAugmentation,
    ImportanceWeighting,
    JointDistributionAdaptation,
    KMeansEncoder,
    LabelShiftWeighting,
    LinearTransport,
    LogisticHead,
    LogisticHeadCV,
    MarginalizedDenoising,
    MLPHeadClassifier,
    MLPHeadRegressor,
    MultiTaskTransfer,
    PretrainedEncoder,
    RidgeHead,
    SelectiveClassifier,
    SOMEncoder,
    StructuralCorrespondence,
    SubspaceAlignment,
    TorchEncoder,
    TransferClassifier,
    TransferRegressor,
)
from transferkit.adaptation.protocols import GivesWeights
from transferkit.exceptions import DivergenceError

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*(transfer|adapt):UserWarning"),  # that it did not help
    pytest.mark.filterwarnings("ignore:The encoder was not pretrained:UserWarning"),
    pytest.mark.filterwarnings("ignore:prior has no effect:UserWarning"),  # that of a source with other labels
    pytest.mark.filterwarnings("ignore:The least populated class:UserWarning"),
    pytest.mark.filterwarnings("ignore:The score is undefined:UserWarning"),
    pytest.mark.filterwarnings("ignore:The classifier hardly distinguishes some classes:UserWarning"),
    pytest.mark.filterwarnings("ignore:MLPHead:sklearn.exceptions.ConvergenceWarning"),
]


@dataclass(frozen=True, eq=False)
class Rows:
    """What an estimator learns from: classifiers the labels, regressors the targets, adaptations the domains."""

    X: object
    labels: np.ndarray
    targets: np.ndarray
    domain: np.ndarray  # 1 and 2 for two sources, -1 for the target
    weight: np.ndarray | None = None
    folds: np.ndarray | None = None  # number of the fold that holds each row out

    def take(self, index):
        X = self.X.iloc[index] if hasattr(self.X, "iloc") else self.X[index]
        weight, folds = (None if each is None else each[index] for each in (self.weight, self.folds))
        return Rows(X, self.labels[index], self.targets[index], self.domain[index], weight, folds)

    def with_X(self, X):
        return replace(self, X=X)


def make_rows(seed=0, n=90, n_features=5, *, step=1 / 64):
    """Return three groups of rows; numbers are multiples of `step`, so that an offset of 1e7 rounds nothing away."""
    random = np.random.RandomState(seed)
    labels = random.permutation(np.arange(n) % 3)
    X = 3 * np.eye(3, n_features)[labels] + random.randn(n, n_features)
    X = np.round(X / step) * step
    targets = X @ random.randn(n_features) + 0.1 * random.randn(n)
    domain = np.where(np.arange(n) < 2 * n // 3, 1 + np.arange(n) % 2, -1)
    return Rows(X, labels, targets, domain)


ROWS, OTHER = make_rows(), make_rows(seed=1)
ROWS_32 = ROWS.with_X(ROWS.X.astype(np.float32))
FOLDS = replace(ROWS, folds=np.arange(len(ROWS.X)) % 3)


@cache
def make_module():
    """Return a network whose first layer works in place."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return torch.nn.Sequential(
            torch.nn.LeakyReLU(0.5, inplace=True), torch.nn.Linear(5, 8), torch.nn.Tanh(), torch.nn.Linear(8, 4)
        )


def soften(labels):
    """Return distinct labels, and probabilities of which a tenth is spread over all of them."""
    classes, numbers = np.unique(labels, return_inverse=True)
    return classes, 0.9 * np.eye(len(classes))[numbers] + 0.1 / len(classes)


class SoftLogisticHead(LogisticHead):
    """A head that learns labels as probabilities."""

    def fit(self, X, y, sample_weight=None):
        classes, probabilities = soften(y)
        return self.fit_soft(X, probabilities, classes=classes, sample_weight=sample_weight)


class SoftMLPHeadClassifier(MLPHeadClassifier):
    """A network that learns labels as probabilities."""

    def fit(self, X, y, sample_weight=None):
        classes, probabilities = soften(y)
        return self.fit_soft(X, probabilities, classes=classes, sample_weight=sample_weight)


class InformedTransferClassifier(TransferClassifier):
    """A classifier that is also given the distinct rows that count, without their labels."""

    def fit(self, X, y, sample_weight=None):
        if sparse.issparse(X):
            return super().fit(X, y, sample_weight, X_unlabelled=X)
        counts = np.ones(len(X), bool) if sample_weight is None else np.asarray(sample_weight) > 0
        _, first = np.unique(np.asarray(X), axis=0, return_index=True)
        kept = np.sort(first[counts[first]])
        unlabelled = X.iloc[kept] if hasattr(X, "iloc") else np.asarray(X)[kept]
        return super().fit(X, y, sample_weight, X_unlabelled=unlabelled)


def fit_pca(rows):
    return PCA(3, svd_solver="full").fit(rows.X)  # the solver for many rows has no digits left far from the origin


MODELS = {
    "LogisticHead": lambda rows: LogisticHead(),
    "LogisticHead soft": lambda rows: SoftLogisticHead(),
    "LogisticHeadCV": lambda rows: LogisticHeadCV(),
    "RidgeHead": lambda rows: RidgeHead(),
    "RidgeHead alphas": lambda rows: RidgeHead(alphas=[0.01, 0.1, 1.0, 10.0, 100.0]),
    "MLPHeadClassifier": lambda rows: MLPHeadClassifier(random_state=0),
    "MLPHeadClassifier soft": lambda rows: SoftMLPHeadClassifier(random_state=0),
    "MLPHeadRegressor": lambda rows: MLPHeadRegressor(random_state=0),
    "TransferClassifier": lambda rows: TransferClassifier(fit_pca(rows)),
    "TransferClassifier unlabelled": lambda rows: InformedTransferClassifier(fit_pca(rows)),
    "TransferClassifier unfitted": lambda rows: TransferClassifier(PCA(3, svd_solver="full")),
    "TransferClassifier scratch": lambda rows: TransferClassifier(strategy="scratch"),
    "TransferClassifier module": lambda rows: TransferClassifier(TorchEncoder(make_module())),
    "TransferClassifier source": lambda rows: TransferClassifier(source=LogisticHead().fit(rows.X, rows.labels)),
    "TransferRegressor": lambda rows: TransferRegressor(fit_pca(rows)),
    "TransferRegressor scratch": lambda rows: TransferRegressor(strategy="scratch"),
    "MultiTaskTransfer": lambda rows: MultiTaskTransfer(TransferClassifier(fit_pca(rows))),
    "DomainTransferClassifier": lambda rows: DomainTransferClassifier(),
    "SelectiveClassifier": lambda rows: SelectiveClassifier(LogisticHead(), coverage=1.0, method="both"),
    "KMeansEncoder": lambda rows: KMeansEncoder(3),
    "SOMEncoder": lambda rows: SOMEncoder(),
    "AutoencoderEncoder": lambda rows: AutoencoderEncoder(),
    "TorchEncoder": lambda rows: TorchEncoder(make_module()),
    "PretrainedEncoder": lambda rows: PretrainedEncoder(fit_pca(rows)),
    "CORAL": lambda rows: CORAL(),
    "LinearTransport": lambda rows: LinearTransport(),
    "SubspaceAlignment": lambda rows: SubspaceAlignment(),
    "JointDistributionAdaptation": lambda rows: JointDistributionAdaptation(),
    "ImportanceWeighting": lambda rows: ImportanceWeighting(),
    "LabelShiftWeighting": lambda rows: LabelShiftWeighting(),
    "DomainWeighting": lambda rows: DomainWeighting(),
    "MarginalizedDenoising": lambda rows: MarginalizedDenoising(),
    "StructuralCorrespondence": lambda rows: StructuralCorrespondence(),
    "FeatureAugmentation": lambda rows: FeatureAugmentation(),
}  # fmt: skip
MULTI, DOMAIN = "MultiTaskTransfer", "DomainTransferClassifier"
UNFITTED, TUNED = "TransferClassifier unfitted", "TransferClassifier module"
SLOW_CLASSIFIERS = [MULTI, DOMAIN, UNFITTED, TUNED]
CLASSIFIERS = [name for name in MODELS if "Logistic" in name or ("Classifier" in name and name not in SLOW_CLASSIFIERS)]
REGRESSORS = [name for name in MODELS if "Regressor" in name or "Ridge" in name]
PREDICTORS = [*CLASSIFIERS, *REGRESSORS]
ADAPTATIONS = list(MODELS)[-10:]
ENCODERS = [name for name in MODELS if "Encoder" in name]
TRANSFORMERS = [*ENCODERS, *ADAPTATIONS]
NUMERICAL = [*PREDICTORS, DOMAIN, *TRANSFORMERS]
# For contracts about what goes in and comes out, strategies of one class need not be told apart
USUAL = [name for name in MODELS if name not in (TUNED, UNFITTED) and "scratch" not in name]
WITH_TUNED = [*USUAL, TUNED]
# A tenth of a second and more
SLOW = [
    "LogisticHeadCV",
    "SelectiveClassifier",
    *(name for name in MODELS if "Transfer" in name and "Regressor" not in name),
]
WITH_WEIGHTS = [*PREDICTORS, UNFITTED]
DENSE_ONLY = [TUNED, "TorchEncoder", "CORAL", "LinearTransport"]

# Where an estimator cannot hold a contract, and why. Each of these must break it.
GRADIENT_STEPS = "learns by gradient steps of one size from small weights: features belong to unit scale first"
AS_IT_IS = "the network is the user's: rows go into it as they are"
ZEROS = "zero means that a feature is absent, so rows cannot be moved"
EXCEPTIONS = {
    **{
        (name, contract): GRADIENT_STEPS
        for name in ("MLPHeadClassifier", "MLPHeadClassifier soft", "MLPHeadRegressor", "AutoencoderEncoder")
        for contract in ("translation", "column of timestamps", "large column", "scale")
        if (name, contract) != ("MLPHeadClassifier", "scale")  # its loss is bounded by the margin
    },
    **{("TorchEncoder", contract): AS_IT_IS for contract in ("translation", "column of timestamps", "scale")},
    **{
        (name, contract): ZEROS
        for name in ("MarginalizedDenoising", "StructuralCorrespondence", "FeatureAugmentation")
        for contract in ("translation", "column of timestamps")
    },
    ("MarginalizedDenoising", "scale"): "features are values of tanh, whatever the units",
    **{
        (name, "scale"): "returns rows as they are; its weights are penalised in the units of the features"
        for name in ("ImportanceWeighting", "LabelShiftWeighting", "DomainWeighting")
    },
    ("KMeansEncoder", "order of rows"): "seeds are drawn by the position of rows, and end in another optimum",
    ("LabelShiftWeighting", "order of rows"): "folds are drawn by the position of rows",
    ("AutoencoderEncoder", "order of rows"): "first weights, batches and noise are drawn by the position of rows",
    (UNFITTED, "weights"): "transformers of scikit-learn learn without weights",
    ("MultiTaskTransfer", "names of columns"): "tasks may have columns of their own: `models_` know them",
}


def every(names, contract, **variants):
    """Parametrise with the models of these names; those with an exception to the contract must break it.

    One argument may come in variants, of which slow models get the first one only.
    """
    values = next(iter(variants.values()), [None])
    cases = []
    for name in names:
        marks = ()
        if (name, contract) in EXCEPTIONS:
            marks = pytest.mark.xfail(reason=EXCEPTIONS[name, contract], strict=True)
        for value in list(values)[: 1 if name in SLOW else None]:
            cases.append(pytest.param(*[name, value][: 1 + len(variants)], marks=marks))
    return pytest.mark.parametrize(("name", *variants), cases)


def learn(name, rows=ROWS, *, pretrained_on=None, **parameters):
    """Return the model of this name, fitted on the rows; what is pretrained has seen `pretrained_on`, or the rows."""
    model = MODELS[name](rows if pretrained_on is None else pretrained_on)
    return fit(model.set_params(**parameters), rows)


def fit(model, rows):
    options = {} if rows.weight is None else {"sample_weight": rows.weight}
    cv = next((cv for cv in ("cv", "estimator__cv") if cv in model.get_params()), None)
    if (
        rows.folds is not None
        and cv is not None
        and not isinstance(model, (DomainTransferClassifier, LabelShiftWeighting))
    ):
        numbers = np.unique(rows.folds)
        model.set_params(**{cv: [(np.flatnonzero(rows.folds != i), np.flatnonzero(rows.folds == i)) for i in numbers]})
    if isinstance(model, MultiTaskTransfer):
        return model.fit(rows.X, {"task": rows.labels})
    if isinstance(model, DomainTransferClassifier):
        source, target = rows.take(rows.domain > 0), rows.take(rows.domain < 0)
        return model.fit(source.X, source.labels, X_target=target.X)
    if is_adaptation(model):
        return model.fit(rows.X, rows.labels, sample_domain=rows.domain)
    return model.fit(rows.X, rows.targets if is_regressor(model) else rows.labels, **options)


def is_adaptation(model):
    return type(model).__module__.startswith("transferkit.adaptation")


learned = cache(learn)


def answer(model, rows=ROWS):
    """Return one row of numbers for each row, from whatever the model gives."""
    if isinstance(model, GivesWeights):  # rows pass through it
        return model.sample_weight_[:, None]
    if is_adaptation(model):
        return dense(model.transform(rows.X, sample_domain=rows.domain))
    if isinstance(model, KMeansEncoder):  # clusters have no order
        return dense(model.transform(rows.X))[:, np.lexsort(model.cluster_centers_.T)]
    if hasattr(model, "transform"):
        return dense(model.transform(rows.X))
    if isinstance(model, MultiTaskTransfer):
        return model.predict_proba(rows.X)["task"]
    return model.predict_proba(rows.X) if hasattr(model, "predict_proba") else model.predict(rows.X)[:, None]


def dense(array):
    return array.toarray() if sparse.issparse(array) else np.asarray(array)


def score(model, rows=ROWS):
    """Return the accuracy or R2 of the predictions for the rows that the model was trained on."""
    found = model.predict(rows.X)
    if isinstance(found, dict):
        return accuracy_score(rows.labels, found["task"])
    return r2_score(rows.targets, found) if is_regressor(model) else accuracy_score(rows.labels, found)


def assert_alike(found, expected, tolerance=1e-2):
    """Assert that answers differ by no more than a share of how far the expected ones are from their mean."""
    assert found.shape == expected.shape
    spread = np.abs(expected - expected.mean(0)).max()
    assert np.abs(found - expected).max() / max(spread, 1e-300) <= tolerance


def attempt(function, *args, **options):
    """Return what the function returns and None, or None and the words with which it refuses its arguments."""
    try:
        return function(*args, **options), None
    except np.linalg.LinAlgError:  # a ValueError, but not one that says what to do
        raise
    except (ValueError, DivergenceError) as error:
        return None, str(error)


# Offsets and scales


@every(NUMERICAL, "translation", offset=[1e7, 1e4])
def test_rows_far_from_the_origin_are_learned_like_those_near_it(name, offset):
    rows = ROWS.with_X(ROWS.X + offset)
    found = answer(learn(name, rows), rows)
    assert_alike(found - offset if name in ("CORAL", "LinearTransport") else found, answer(learned(name)))


@every(NUMERICAL, "column of timestamps")
def test_column_of_timestamps_is_as_good_as_seconds_since_the_first(name):
    start = np.array([0, 0, 0, 0, 1.7e9])
    rows = ROWS.with_X(ROWS.X + start)
    found = answer(learn(name, rows), rows)
    assert_alike(found - start if name in ("CORAL", "LinearTransport") else found, answer(learned(name)))


@every(PREDICTORS, "large column")
def test_column_of_milliseconds_beside_small_ones_does_no_harm(name):
    column = 1.7e12 + np.random.RandomState(2).rand(len(ROWS.X), 1) * 3e10
    rows = ROWS.with_X(np.hstack([ROWS.X, column]))
    assert score(learn(name, rows), rows) > score(learned(name)) - 0.05


@every(TRANSFORMERS, "scale", factor=[1e-4, 1e4, 1e7])
def test_features_are_in_the_units_of_the_rows(name, factor):
    rows = ROWS.with_X(ROWS.X * factor)
    assert_alike(answer(learn(name, rows), rows) / factor, answer(learned(name)))


@every(PREDICTORS, "scale", factor=[1e7, 1e4])
def test_large_units_are_learned_as_well_as_small_ones(name, factor):
    rows = ROWS.with_X(ROWS.X * factor)
    assert score(learn(name, rows), rows) > score(learned(name)) - 0.03


@every(NUMERICAL, "float32")
def test_float32_and_float64_agree(name):
    assert_alike(answer(learned(name, ROWS_32), ROWS_32), answer(learned(name)), 5e-3)


# Weights and order


@every(WITH_WEIGHTS, "weights")
def test_weight_k_is_k_copies(name):
    counts = np.random.RandomState(0).randint(1, 4, len(ROWS.X))
    weighted = learn(name, replace(FOLDS, weight=counts.astype(float)))
    copied = learn(name, FOLDS.take(np.repeat(np.arange(len(ROWS.X)), counts)), pretrained_on=ROWS)
    assert_alike(answer(weighted), answer(copied), 5e-3)


@every(WITH_WEIGHTS, "weights zero")
def test_weight_zero_is_absence(name):
    kept = np.random.RandomState(0).rand(len(ROWS.X)) < 0.6
    labels = np.where(kept, ROWS.labels, 0)  # what has no weight may be wrong
    weighted = learn(name, replace(FOLDS, weight=kept.astype(float), labels=labels), pretrained_on=ROWS)
    assert_alike(answer(weighted), answer(learn(name, FOLDS.take(kept), pretrained_on=ROWS)), 5e-3)


@every([name for name in [*PREDICTORS, *TRANSFORMERS] if name in USUAL], "order of rows")
def test_order_of_rows_does_not_matter(name):
    order = np.random.RandomState(0).permutation(len(ROWS.X))
    shuffled = FOLDS.take(order)
    found, expected = learn(name, shuffled, pretrained_on=ROWS), learned(name, FOLDS)
    assert_alike(answer(found, shuffled), answer(expected)[order], 5e-3)


@cache
def name_columns():
    return ROWS.with_X(pytest.importorskip("pandas").DataFrame(ROWS.X, columns=list("abcde")))


@every(USUAL, "order of columns")
def test_columns_in_another_order_are_matched_by_name_or_refused(name):
    rows = name_columns()
    model = learned(name, rows)
    expected = answer(model, rows)  # and no warning
    np.testing.assert_allclose(expected, answer(learned(name)), rtol=1e-6)
    found, error = attempt(answer, model, rows.with_X(rows.X[list("edcba")]))
    if error is None:
        assert_alike(found, expected)
    else:
        assert "feature names" in error


@every(USUAL, "names of columns")
def test_names_of_columns_are_kept(name):
    assert list(learned(name, name_columns()).feature_names_in_) == list("abcde")


# Inputs

KINDS = {
    "float32": lambda X: X.astype(np.float32),
    "float64": lambda X: X.copy(),
    "columns first": np.asfortranarray,
    "CSR": sparse.csr_matrix,
}


def buffers(rows):
    parts = [rows.X.data, rows.X.indices, rows.X.indptr] if sparse.issparse(rows.X) else [rows.X]
    return [*parts, *(each for each in (rows.labels, rows.targets, rows.domain, rows.weight) if each is not None)]


@pytest.fixture
def warn_always():
    """Let torch warn of each array that is read only, not only of the first one in a process."""
    torch.set_warn_always(True)
    yield
    torch.set_warn_always(False)


@every(WITH_TUNED, "inputs", kind=KINDS)
@pytest.mark.usefixtures("warn_always")
def test_inputs_stay_as_they_are_and_may_be_read_only(name, kind):
    if kind.startswith("CS") and name in DENSE_ONLY:
        pytest.skip("takes no sparse rows")
    rows = replace(ROWS.take(np.arange(len(ROWS.X))), X=KINDS[kind](ROWS.X))
    if name in WITH_WEIGHTS:
        rows = replace(rows, weight=np.linspace(0.5, 1.5, len(ROWS.X)))
    before = [each.copy() for each in buffers(rows)]
    expected = answer(learn(name, rows, pretrained_on=ROWS), rows)
    for each, as_it_was in zip(buffers(rows), before, strict=True):
        np.testing.assert_array_equal(each, as_it_was)
        each.setflags(write=False)
    np.testing.assert_allclose(answer(learn(name, rows, pretrained_on=ROWS), rows), expected, rtol=1e-6, atol=1e-9)
    for each, as_it_was in zip(buffers(rows), before, strict=True):
        np.testing.assert_array_equal(each, as_it_was)


@every(USUAL, "set_config", output=["pandas", "polars"])
def test_configured_data_frames_are_returned_and_change_no_number(name, output):
    frames = pytest.importorskip(output)
    with config_context(transform_output=output):
        model = learn(name)
        if name in TRANSFORMERS:
            options = {"sample_domain": ROWS.domain} if name in ADAPTATIONS else {}
            found = model.transform(ROWS.X, **options)
            assert isinstance(found, frames.DataFrame)
            assert list(found.columns) == list(model.get_feature_names_out())
        found = answer(model)
        old = answer(learned(name))
    np.testing.assert_array_equal(found, answer(learned(name)))
    np.testing.assert_array_equal(old, answer(learned(name)))


# Parameters, clones and ensembles


@every(USUAL, "parameters")
def test_parameters_can_be_read_and_set_again(name):
    model = MODELS[name](ROWS)
    model.set_params(**model.get_params())
    np.testing.assert_array_equal(answer(fit(clone(model), ROWS)), answer(learned(name)))


@every(
    [name for name in WITH_WEIGHTS if name in CLASSIFIERS and name in USUAL],
    "ensembles",
    ensemble=[BaggingClassifier, AdaBoostClassifier],
)
def test_ensembles_of_classifiers_can_be_fitted(name, ensemble):
    members = ensemble(MODELS[name](ROWS), n_estimators=2, random_state=0)
    assert score(fit(members, ROWS)) > 0.8


@every([name for name in WITH_WEIGHTS if name in REGRESSORS], "ensembles")
def test_ensembles_of_regressors_can_be_fitted(name):
    members = BaggingRegressor(MODELS[name](ROWS), n_estimators=2, random_state=0)
    assert score(fit(members, ROWS)) > score(learned(name)) - 0.1


# Labels

LABEL_KINDS = {
    "int8": np.array([3, 7], np.int8),
    "uint64": np.array([3, 2**63 + 1], np.uint64),
    "float": np.array([1.0, 2.0]),
    "bool": np.array([False, True]),
    "str": np.array(["matrix", "animal"]),
    "object": np.array(["matrix", "animal"], dtype=object),
}


@every([name for name in [*CLASSIFIERS, MULTI, DOMAIN] if name in USUAL], "label types", kind=LABEL_KINDS)
def test_labels_keep_their_type(name, kind):
    labels = LABEL_KINDS[kind][(ROWS.labels == 0).astype(int)]
    model = learn(name, replace(ROWS, labels=labels), pretrained_on=ROWS)
    found = model.predict(ROWS.X)
    found = found["task"] if isinstance(found, dict) else found
    assert found.dtype == labels.dtype
    assert set(map(type, found.tolist())) == set(map(type, labels.tolist()))
    assert np.mean(found == labels) > 0.9


def with_class_of_one_row():
    labels = ROWS.labels.copy()
    labels[0] = 9
    return replace(ROWS, labels=labels)


@every([name for name in [*CLASSIFIERS, DOMAIN] if name in USUAL], "class of one row")
def test_class_of_one_row_is_a_class(name):
    rows = with_class_of_one_row()
    model = learn(name, rows, pretrained_on=ROWS)
    model = model.models_["task"] if isinstance(model, MultiTaskTransfer) else model
    assert list(model.classes_) == [0, 1, 2, 9]
    found = model.predict_proba(ROWS.X)
    np.testing.assert_allclose(found.sum(1), 1, rtol=1e-5)
    assert score(model, rows) > 0.8


SCORINGS = ["neg_log_loss", "roc_auc_ovr", "neg_brier_score", "f1_macro", "accuracy"]
SEARCHING = [name for name in WITH_WEIGHTS if name in CLASSIFIERS and ("CV" in name or "Transfer" in name)]


@every(SEARCHING, "class missing from a fold", scoring=SCORINGS)
def test_class_may_be_missing_from_folds(name, scoring):
    model = learn(name, with_class_of_one_row(), pretrained_on=ROWS, scoring=scoring)
    assert np.isfinite(answer(model)).all()
    assert score(model, with_class_of_one_row()) > 0.8


# Degenerate rows and counts of rows

ALIKE = ["sparse zeros", "dense zeros", "dense ones", "sparse ones", "wide sparse zeros"]


@cache
def learn_rows_all_alike(name, kind):
    X = (np.ones if "ones" in kind else np.zeros)((len(ROWS.X), 300 if "wide" in kind else 5))
    if "wide" in kind and any(word in name for word in ("Transfer", "Torch", "Pretrained")):
        pytest.skip("what was pretrained takes five features")
    if "sparse" in kind and name in DENSE_ONLY:
        pytest.skip("takes no sparse rows")
    rows = ROWS.with_X(sparse.csr_matrix(X) if "sparse" in kind else X)
    rows = replace(rows, labels=np.where(np.arange(len(X)) % 3 == 0, 1, 2), targets=rows.targets + 1)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*(alike|distinct|singular|constant|standard deviations)")
        return learn(name, rows, pretrained_on=ROWS), rows


@every(NUMERICAL, "rows all alike", kind=ALIKE)
def test_rows_that_are_all_alike_get_the_same_answer_or_are_refused(name, kind):
    learned, error = attempt(learn_rows_all_alike, name, kind)
    if error is not None:
        assert re.search("feature|row", error)
        return
    found = answer(*learned)
    assert np.isfinite(found).all()
    domains = learned[1].domain if name in ADAPTATIONS else np.ones(len(found))
    for domain in np.unique(domains):
        each = found[domains == domain]
        np.testing.assert_allclose(each, np.broadcast_to(each[:1], each.shape), rtol=1e-5, atol=1e-6)


@every([name for name in [*PREDICTORS, DOMAIN] if "MLP" not in name], "rows all alike", kind=ALIKE)
def test_rows_that_are_all_alike_tell_how_frequent_classes_are(name, kind):
    model, rows = learn_rows_all_alike(name, kind)
    found = answer(model, rows)[0]
    right = [rows.targets.mean()] if name in REGRESSORS else [1 / 3, 2 / 3]
    np.testing.assert_allclose(found, right, atol=0.02)


@every(["MLPHeadClassifier", "MLPHeadRegressor"], "one row more than full batches", batch_norm=[False, True])
def test_one_row_more_than_full_batches_is_as_good_as_full_batches(name, batch_norm):
    rows = make_rows(n=201)
    full = rows.take(np.arange(200))
    found = learn(name, rows, batch_norm=batch_norm)
    assert np.isfinite(answer(found, rows)).all()
    assert score(found, rows) > score(learn(name, full, batch_norm=batch_norm), full) - 0.05


@every(["KMeansEncoder", "TorchEncoder"], "one row more than full batches")
def test_size_of_batches_does_not_matter(name):
    assert len(ROWS.X) % 89 == 1
    assert_alike(answer(learn(name, batch_size=89)), answer(learned(name)), 1e-4)


# Numbers that are no numbers


def list_numbers(value):
    """Yield all arrays and floats of fitted attributes, however deep."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for each in value:
            yield from list_numbers(each)
    elif sparse.issparse(value):
        yield value.data
    elif isinstance(value, (float, np.ndarray)) and np.asarray(value).dtype.kind == "f":
        yield np.asarray(value)
    elif hasattr(value, "get_params") and not isinstance(value, PretrainedEncoder):
        skipped = ("scores", "thresholds")  # of which some are missing, or accept everything
        names = [k for k in vars(value) if k.endswith("_") and not any(word in k for word in skipped)]
        yield from list_numbers({k: getattr(value, k) for k in names})


@every(NUMERICAL, "finite weights", factor=[1e150, 1e20, 1e-300, 1e300])
def test_weights_that_are_not_finite_are_never_returned(name, factor):
    rows = ROWS.with_X(ROWS.X * factor)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        model, error = attempt(learn, name, rows, pretrained_on=ROWS)
    assert error is not None or all(np.isfinite(numbers).all() for numbers in list_numbers(model))


# Processes, threads and modes of torch

FORK = """
import sys, torch
torch.set_num_threads(2)
sys.path.insert(0, sys.argv[1])
import test_invariances
test_invariances.fit_in_forked_children()
"""


def fit_in_forked_children():
    """Fit each model in a forked child of a process whose threads have worked, and print the names of those that end.

    They share half a minute.
    """
    context = multiprocessing.get_context("fork")
    for name in ("LogisticHeadCV", "MLPHeadClassifier", "KMeansEncoder"):
        learn(name)
    children = {name: context.Process(target=learn, args=(name,), daemon=True) for name in WITH_TUNED}
    for child in children.values():
        child.start()
    end = time.monotonic() + 30
    for name, child in children.items():
        child.join(max(end - time.monotonic(), 0))
        if child.exitcode == 0:
            print(name)  # noqa: T201
        child.kill()


@cache
def find_models_that_survive_a_fork():
    command = [sys.executable, "-c", FORK, str(Path(__file__).parent)]
    result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=100)
    return result.stdout.splitlines()


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork on this system")
@every(WITH_TUNED, "fork")
def test_fit_in_a_forked_child_ends(name):
    assert name in find_models_that_survive_a_fork()


@every([name for name in USUAL if name not in (MULTI, DOMAIN)], "threads")
def test_fits_at_once_in_threads_are_those_of_one_after_the_other(name):
    turns = [ROWS, OTHER] * (1 if name in SLOW else 4)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda rows: answer(learn(name, rows, pretrained_on=ROWS), rows), turns))
    for i, rows in enumerate([ROWS, OTHER]):
        expected = answer(learned(name, rows, pretrained_on=ROWS), rows)
        for each in found[i::2]:
            np.testing.assert_allclose(each, expected, rtol=1e-6, atol=1e-9)


@every(WITH_TUNED, "modes of torch")
def test_modes_of_torch_change_nothing(name):
    expected = answer(learned(name, ROWS_32), ROWS_32)
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        model = learn(name, ROWS_32)
        found = answer(model, ROWS_32)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(answer(model, ROWS_32), expected)  # what was remembered in those modes


# Fits and defaults


@every(WITH_TUNED, "second fit")
def test_second_fit_forgets_the_first(name):
    labels = np.array(["x", "y", "z", "zz"])[np.arange(len(OTHER.X)) % 4]
    model = fit(MODELS[name](ROWS), replace(OTHER, labels=labels, targets=1000 + OTHER.targets))
    np.testing.assert_array_equal(answer(fit(model, ROWS)), answer(learned(name)))


def read(text):
    """Return the value of a literal, or the attribute of NumPy of this name."""
    return getattr(np, text[3:]) if text.startswith("np.") else ast.literal_eval(text.partition(" or ")[0])


PUBLIC = [getattr(transferkit, name) for name in transferkit.__all__]


@pytest.mark.parametrize("cls", [each for each in PUBLIC if hasattr(each, "fit")], ids=lambda cls: cls.__name__)
def test_documented_default_is_the_default(cls):
    defaults = {k: v.default for k, v in inspect.signature(cls).parameters.items()}
    for parameter in ClassDoc(cls)["Parameters"]:
        names, (_, is_given, documented) = parameter.name.split(", "), parameter.type.partition("default=")
        values = documented.split(" and ") if is_given else []
        for name, value in zip(names, values if len(values) > 1 else values * len(names), strict=bool(is_given)):
            assert value == str(defaults[name]) or read(value) == defaults[name], name


# Settings that the docstring says are the defaults
SPELLED_OUT = {
    "LogisticHead": {"C": 1.0, "class_weight": None, "fit_intercept": True},
    "LogisticHeadCV": {"Cs": np.logspace(-4, 4, 10), "cv": StratifiedKFold(5), "scoring": "accuracy"},
    "RidgeHead": {"alpha": 1.0},
    "MLPHeadClassifier": {"batch_size": 90},
    "MLPHeadRegressor": {"batch_size": 90},
    "TransferClassifier": {
        "head": LogisticHeadCV(np.logspace(-1, 3, 5)), "scoring": "accuracy",
        "cv": StratifiedKFold(5, shuffle=True, random_state=0),
    },
    "TransferClassifier scratch": {"cv": StratifiedKFold(5, shuffle=True, random_state=0), "scoring": "accuracy"},
    "TransferClassifier source": {"cv": StratifiedKFold(5, shuffle=True, random_state=0), "scoring": "accuracy"},
    "DomainTransferClassifier": {"adaptation": "auto", "cv": 3},
    "SOMEncoder": {"radius": 5.0},
}  # fmt: skip


@every(SPELLED_OUT, "defaults")
def test_defaults_are_what_they_are_documented_to_stand_for(name):
    np.testing.assert_allclose(answer(learn(name, **SPELLED_OUT[name])), answer(learned(name)), rtol=1e-6)
