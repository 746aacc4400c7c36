"""Rules that decide for the user how labels are held out, at the numbers where they change their mind."""

import numpy as np
import pytest

from transferkit import AutoencoderEncoder, TransferClassifier
from transferkit._training.network import parameters
from transferkit.transfer._evaluation import ClassificationTask, make_folds
from transferkit.transfer.strategies._fine_tuning import _hold_out


@pytest.mark.parametrize(("n_rows", "n_folds"), [(7, 0), (8, 4), (40, 5), (2500, 5), (2502, 3)])
def test_folds_are_none_of_very_few_labels_and_three_of_very_many(n_rows, n_folds):
    y = np.arange(n_rows) % 2
    assert len(make_folds(y, y, 5, None, 0)) == n_folds


@pytest.mark.parametrize(("n_rows", "n_rounds"), [(2500, 1), (2502, 3)])
def test_many_labels_are_held_out_in_rounds(n_rows, n_rounds):
    y = np.arange(n_rows) % 2
    given = {"scoring": None, "class_weight": None, "sample_weight": None, "groups": None, "random_state": 0}
    task = ClassificationTask(TransferClassifier(), y, cv=5, **given)
    assert [len(held_out.folds) for held_out in task.rounds] == [*range(1, n_rounds), len(task.folds)]
    scores = np.zeros((n_rows, 5, 1))
    scores[task.folds[1][1], 1] = 5.0
    assert task.loss(scores) > 1
    assert task.rounds[0].loss(scores) == pytest.approx(np.log(2) if n_rounds > 1 else task.loss(scores))


def test_one_hopeless_row_does_not_decide_on_a_loss():
    y = np.arange(40) % 2
    given = {"scoring": None, "class_weight": None, "sample_weight": None, "groups": None, "random_state": 0}
    task = ClassificationTask(TransferClassifier(), y, cv=4, **given)
    scores = np.zeros((40, 5, 1))
    scores[0] = 1e6  # sure of the wrong class
    assert task.loss(scores) == pytest.approx((39 * np.log(2) + 30) / 40)


@pytest.mark.parametrize(("n_rows", "n_held"), [(199, 0), (200, 30), (1000, 150)])
def test_fine_tuning_holds_rows_out_where_they_are_many(n_rows, n_held):
    kept, held = _hold_out(np.arange(n_rows), 0)
    assert len(held) == n_held
    np.testing.assert_array_equal(np.sort(np.concatenate([kept, held])), np.arange(n_rows))


def test_fine_tuning_moves_the_encoder_as_the_parameters_say(monkeypatch):
    groups, make_group = [], parameters.ParameterGroup

    def record(*args, **kwargs):
        groups.append(make_group(*args, **kwargs))
        return groups[-1]

    X, y = np.random.RandomState(0).normal(size=(24, 4)).astype(np.float32), np.arange(24) % 2
    encoder = AutoencoderEncoder((2,), max_iter=1, random_state=0).fit(X)
    monkeypatch.setattr(parameters, "ParameterGroup", record)
    pace = {"encoder_learning_rate": 0.2, "unfreeze_at": 3, "anchor_strength": 0.5}
    TransferClassifier(encoder, strategy="finetune", cv=2, **pace).fit(X, y)
    of_encoder = [group for group in groups if group.name == "encoder"]
    assert len(of_encoder) == 3  # of two folds, and of all rows
    for group in of_encoder:
        assert (group.learning_rate_scale, group.unfreeze_at, group.anchor_strength) == (0.2, 3, 0.5)
