"""A model that fits a pretrained encoder again warns; nothing warns of one fitted by hand, or not fitted before.

Warnings are errors in all tests.
"""

import copy
import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import BaggingClassifier, StackingClassifier, VotingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline

from transferkit import (
    DomainTransferClassifier,
    LogisticHead,
    LSAEncoder,
    PretrainedEncoder,
    TransferClassifier,
    TransferRegressor,
    load,
    save,
)
from transferkit.distributed import fit_sharded
from transferkit.exceptions import LostPretrainingWarning

CORPUS = ["a cat sat", "a dog sat", "the cat and the dog", "a stock rose", "a bond fell", "the stock and the bond"] * 3
TEXTS = ["the cat sat", "a dog", "stock fell", "bond rose"] * 3
LABELS = np.array(["pet", "pet", "money", "money"] * 3)
COLUMN = np.array(TEXTS, dtype=object)[:, None]


def pretrain():
    return LSAEncoder(2, min_df=1).fit(CORPUS)


def make_text_model(encoder):
    return make_pipeline(encoder, LogisticHead())


def make_table_model(encoder):
    return make_pipeline(ColumnTransformer([("text", encoder, 0)]), LogisticHead())


def search_encoders(encoder):
    return GridSearchCV(TransferClassifier(strategy="frozen"), {"encoder": [encoder]}, cv=2, error_score="raise")


MODELS = {
    "pipeline": lambda encoder: make_text_model(encoder).fit(TEXTS, LABELS),
    "columns": lambda encoder: make_table_model(encoder).fit(COLUMN, LABELS),
    "columns without labels": lambda encoder: make_table_model(encoder)[0].fit_transform(COLUMN),
    "bagging": lambda encoder: BaggingClassifier(make_table_model(encoder), 2).fit(COLUMN, LABELS),
    "voting": lambda encoder: VotingClassifier([("a", make_text_model(encoder))]).fit(TEXTS, LABELS),
    "stacking": lambda encoder: StackingClassifier([("a", make_text_model(encoder))], cv=2).fit(TEXTS, LABELS),
    "folds": lambda encoder: cross_val_score(make_text_model(encoder), TEXTS, LABELS, cv=2, error_score="raise"),
    "grid of encoders": lambda encoder: search_encoders(encoder).fit(TEXTS, LABELS),
    "grid of parameters": lambda encoder: GridSearchCV(
        make_text_model(encoder), {"lsaencoder__n_components": [1, 2]}, cv=2, error_score="raise"
    ).fit(TEXTS, LABELS),
    "clone": lambda encoder: clone(encoder).fit(TEXTS, LABELS),
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_model_that_refits_a_pretrained_encoder_warns_with_the_remedy(name):
    with pytest.warns(LostPretrainingWarning, match=r"LSAEncoder was pretrained .* PretrainedEncoder\('encoder.tk'\)"):
        MODELS[name](pretrain())


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("keep", [PretrainedEncoder, FrozenEstimator])
def test_encoders_that_clones_keep_are_not_refitted(name, keep):
    if name != "grid of parameters":
        MODELS[name](keep(pretrain()))


@pytest.mark.parametrize("name", MODELS)
def test_unfitted_encoders_are_fitted_without_a_warning(name):
    MODELS[name](LSAEncoder(2, min_df=1))


@pytest.mark.filterwarnings("ignore:The encoder was not pretrained:UserWarning")
@pytest.mark.parametrize("estimator", [TransferClassifier, TransferRegressor, DomainTransferClassifier])
def test_transfer_estimator_that_is_given_a_clone_warns(estimator):
    options = {"X_target": CORPUS} if estimator is DomainTransferClassifier else {}
    y = np.arange(12.0) if estimator is TransferRegressor else LABELS
    with pytest.warns(LostPretrainingWarning):
        estimator(clone(pretrain())).fit(TEXTS, y, **options)


@pytest.mark.parametrize("kind", ["source", "prior", "encoder"])
def test_models_that_a_grid_has_cloned_are_refused_with_the_remedy(kind):
    unfitted = make_text_model(LSAEncoder(2, min_df=1))
    model, name, value = {
        "source": lambda: (TransferClassifier(), "source", unfitted.fit(TEXTS, LABELS)),
        "prior": lambda: (unfitted, "logistichead__prior", LogisticHead().fit(np.eye(2), [0, 1])),
        "encoder": lambda: (make_text_model(PretrainedEncoder(pretrain())), "pretrainedencoder__source", pretrain()),
    }[kind]()
    with pytest.raises(ValueError, match=r"In a grid give .*: scikit-learn clones the values of a grid"):
        GridSearchCV(model, {name: [value]}, cv=2, error_score="raise").fit(TEXTS, LABELS)


@pytest.mark.parametrize(
    "pass_on",
    [clone, copy.copy, copy.deepcopy, lambda encoder: pickle.loads(pickle.dumps(encoder))],
    ids=["clone", "copy", "deepcopy", "pickle"],
)
def test_copies_of_a_clone_know_that_it_was_pretrained(pass_on):
    with pytest.warns(LostPretrainingWarning):
        make_text_model(pass_on(clone(pretrain()))).fit(TEXTS, LABELS)


def test_encoder_from_a_file_is_pretrained(tmp_path):
    save(make_text_model(LSAEncoder(2, min_df=1)).fit(TEXTS, LABELS)[0], tmp_path / "encoder.tk")
    load(tmp_path / "encoder.tk").fit(TEXTS)  # by hand: no warning
    with pytest.warns(LostPretrainingWarning):
        make_text_model(load(tmp_path / "encoder.tk")).fit(TEXTS, LABELS)


@pytest.mark.filterwarnings("error")
def test_warning_as_an_error_leaves_the_encoder_as_it_was():
    encoder = pretrain()
    expected = encoder.transform(TEXTS)
    with pytest.raises(LostPretrainingWarning):
        make_text_model(encoder).fit(TEXTS, LABELS)
    np.testing.assert_array_equal(encoder.transform(TEXTS), expected)


def test_fitting_again_by_hand_is_no_loss():
    encoder = pretrain().fit(TEXTS)
    encoder.fit_transform(CORPUS)
    clone(encoder).fit(TEXTS)
    fit_sharded(encoder, [CORPUS])
    encoder.partial_fit(TEXTS)


def test_model_fitted_before_may_be_fitted_and_cross_validated_again():
    model = make_text_model(LSAEncoder(2, min_df=1)).fit(TEXTS, LABELS)
    cross_val_score(model.fit(TEXTS, LABELS), TEXTS, LABELS, cv=2, error_score="raise")
    steps = make_pipeline(LSAEncoder(2, min_df=1)).fit(TEXTS)  # without labels
    clone(steps.fit(TEXTS)).fit(TEXTS)


def test_encoder_pretrained_within_a_pipeline_is_missed_by_a_model():
    steps = make_pipeline(LSAEncoder(2, min_df=1)).fit(CORPUS)
    with pytest.warns(LostPretrainingWarning):
        search_encoders(steps).fit(TEXTS, LABELS)
    with pytest.warns(LostPretrainingWarning):
        make_text_model(clone(steps[0])).fit(TEXTS, LABELS)


def test_what_labelled_samples_taught_an_encoder_is_not_missed():
    lost = make_text_model(clone(pretrain()))
    with pytest.warns(LostPretrainingWarning):
        lost.fit(TEXTS, LABELS)
    clone(lost).fit(TEXTS, LABELS)


def test_warning_refers_to_the_line_of_the_user():
    with pytest.warns(LostPretrainingWarning) as caught:
        cross_val_score(make_text_model(pretrain()), TEXTS, LABELS, cv=2, error_score="raise")
    assert {warning.filename for warning in caught} == {__file__}
