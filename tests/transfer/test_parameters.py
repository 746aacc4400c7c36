"""Parameters can be read and set again, by users and by ensembles, and never change what was pretrained."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.decomposition import PCA
from sklearn.ensemble import AdaBoostClassifier, AdaBoostRegressor, BaggingClassifier, BaggingRegressor

from transferkit import (
    DomainTransferClassifier,
    LogisticHead,
    LogisticHeadCV,
    LSAEncoder,
    MLPHeadClassifier,
    MultiTaskTransfer,
    PretrainedEncoder,
    RidgeHead,
    TransferClassifier,
    TransferRegressor,
)

X = np.random.RandomState(0).randn(60, 4)
Y = (X[:, 0] > 0).astype(int)
TEXTS = ["red cat", "blue dog", "red fox", "blue ant"] * 4


def make(name):
    frozen = PCA(2, random_state=5).fit(X)
    return {
        "frozen": lambda: TransferClassifier(frozen, LogisticHead(), strategy="frozen"),
        "wrapped": lambda: TransferClassifier(PretrainedEncoder(frozen), strategy="frozen"),
        "path": lambda: TransferClassifier("some.tk"),
        "unfitted": lambda: TransferClassifier(PCA(2)),
        "scratch": lambda: TransferClassifier(strategy="scratch"),
        "source": lambda: TransferClassifier(source=LogisticHead().fit(X, Y)),
        "texts": lambda: TransferClassifier(LSAEncoder(2, min_df=1).fit(TEXTS)),
        "regressor": lambda: TransferRegressor(frozen, RidgeHead()),
        "domains": lambda: DomainTransferClassifier(frozen, LogisticHead()),
        "prior": lambda: LogisticHead(prior=LogisticHead().fit(X, Y)),
        "prior of a search": lambda: LogisticHeadCV(prior=LogisticHead().fit(X, Y)),
        "prior of a ridge": lambda: RidgeHead(prior=RidgeHead().fit(X, Y)),
        "first weights": lambda: MLPHeadClassifier(weight_init=MLPHeadClassifier(4, max_iter=1).fit(X, Y)),
        "first weights by name": lambda: MLPHeadClassifier(),
        "tasks": lambda: MultiTaskTransfer(TransferClassifier(frozen, LogisticHead())),
    }[name]()


HEADS = ["prior", "prior of a search", "prior of a ridge", "first weights", "first weights by name"]
NAMES = ["frozen", "wrapped", "path", "unfitted", "scratch", "source", "texts", "regressor", "domains", "tasks", *HEADS]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("name", NAMES)
def test_parameters_can_be_read_and_set_again(name):
    model = make(name)
    params = model.get_params()
    assert model.set_params(**params) is model
    for found in (model.get_params(), clone(model).get_params()):
        assert found.keys() == params.keys()


def test_what_is_frozen_has_no_parameters_of_its_own_and_refuses_new_ones():
    model, source = make("frozen"), make("source")
    assert not any(name.startswith("encoder__") for name in model.get_params())
    assert model.get_params()["head__C"] == 1.0
    assert make("unfitted").get_params()["encoder__n_components"] == 2
    with pytest.raises(ValueError, match="'source__C' cannot be set: the source is pretrained"):
        source.set_params(source__C=7.0)
    with pytest.raises(ValueError, match="'encoder__n_components' cannot be set: the encoder is pretrained"):
        model.set_params(encoder__n_components=1)
    assert (source.source.C, model.encoder.n_components) == (1.0, 2)
    assert model.set_params(encoder=PCA(), encoder__n_components=3).encoder.n_components == 3


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    ("name", "inner"),
    [
        ("domains", "encoder__n_components"),
        ("prior", "prior__C"),
        ("prior of a search", "prior__C"),
        ("prior of a ridge", "prior__alpha"),
        ("first weights", "weight_init__random_state"),
    ],
)
def test_models_that_clones_share_keep_their_parameters(name, inner):
    model = make(name)
    parameter, _, of_it = inner.partition("__")
    shared = getattr(clone(model), parameter)
    before = getattr(shared, of_it)
    with pytest.raises(ValueError, match=f"'{inner}' cannot be set: the {parameter} is pretrained"):
        model.set_params(**{inner: 9})
    assert getattr(shared, of_it) == before
    assert not any(each.startswith(f"{parameter}__") for each in model.get_params())


@pytest.mark.parametrize("ensemble", [BaggingClassifier, AdaBoostClassifier])
@pytest.mark.parametrize("name", ["frozen", "wrapped", "unfitted"])
def test_ensembles_of_classifiers_work(ensemble, name):
    model = make(name).set_params(strategy="frozen", head=LogisticHead(10.0))
    assert ensemble(model, n_estimators=2, random_state=0).fit(X, Y).score(X, Y) > 0.6


@pytest.mark.parametrize("ensemble", [BaggingRegressor, AdaBoostRegressor])
def test_ensembles_of_regressors_work(ensemble):
    model = make("regressor").set_params(strategy="frozen")
    assert np.isfinite(ensemble(model, n_estimators=2, random_state=0).fit(X, X[:, 0]).predict(X)).all()


class Balanced(ClassifierMixin, BaseEstimator):
    """Undersamples, as the ensembles of imbalanced-learn do, and sets parameters of a clone by name."""

    def __init__(self, estimator):
        self.estimator = estimator

    def fit(self, X, y):
        members = []
        for seed in range(2):
            member = clone(self.estimator)
            seeds = {name: seed for name in member.get_params(deep=True) if name.endswith("random_state")}
            n_least = np.bincount(y).min()
            rows = np.concatenate([np.flatnonzero(y == label)[:n_least] for label in np.unique(y)])
            members.append(member.set_params(**seeds).fit(X[rows], y[rows]))
        self.members_ = members
        return self


def test_ensembles_that_set_seeds_by_name_work():
    for member in Balanced(make("frozen")).fit(X, Y).members_:
        assert member.score(X, Y) > 0.6


@pytest.mark.parametrize(("parameter", "value"), [("C", -1.0), ("tol", -1.0), ("max_iter", 0), ("class_weight", "x")])
def test_bad_parameters_of_a_head_that_stands_for_candidates_are_named(parameter, value):
    model = TransferClassifier(PCA(2).fit(X), LogisticHead(**{parameter: value}))
    with pytest.raises(ValueError, match=f"The '{parameter}' parameter of LogisticHead must be"):
        model.fit(X, Y)
