"""The training engine with groups of parameters: frozen, slow, or held close to where they began."""

import numpy as np
import pytest
import scipy.sparse as sp

from transferkit._training.network_training import Examples, TrainingOptions, train_network
from transferkit._training.parameters import ParameterGroup
from transferkit._training.stages import Activate, Linear, NormaliseRows
from transferkit.exceptions import DivergenceError

X = np.random.RandomState(0).normal(size=(200, 12))
LABELS = (X[:, 0] * X[:, 1] > 0).astype(int) + (X[:, 2] > 1)


def make_stages(encoder):
    rng = np.random.RandomState(1)
    return [
        Linear(rng.normal(size=(12, 6)), None, encoder),
        NormaliseRows(),
        Activate("tanh"),
        Linear(0.1 * rng.normal(size=(6, 3)), np.zeros(3), ParameterGroup("head", alpha=1e-4)),
    ]


def distance(encoder, kind=np.asarray, **options):
    """Return how far the encoder's weights went."""
    stages = make_stages(encoder)
    options = TrainingOptions(max_epochs=10, batch_size=20, learning_rate_init=0.01, tol=None, **options)
    trained = train_network(stages, Examples(kind(X), LABELS), options)
    assert not np.allclose(trained.stages[3].weights, stages[3].weights)
    return np.linalg.norm(trained.stages[0].weights - stages[0].weights)


@pytest.mark.parametrize("kind", [np.asarray, sp.csr_matrix])
@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_groups_learn_at_their_own_pace(kind, solver):
    free = distance(ParameterGroup("encoder"), kind, solver=solver)
    assert distance(ParameterGroup("encoder", unfreeze_at=10), kind, solver=solver) == 0
    assert 0 < distance(ParameterGroup("encoder", unfreeze_at=8), kind, solver=solver) < 0.6 * free
    assert 0 < distance(ParameterGroup("encoder", learning_rate_scale=0.1), kind, solver=solver) < 0.4 * free
    assert 0 < distance(ParameterGroup("encoder", anchor_strength=10.0), kind, solver=solver) < 0.6 * free


def test_line_search_stays_near_the_anchor():
    free, held = (
        distance(ParameterGroup("encoder", anchor_strength=strength), solver="lbfgs") for strength in (0.0, 10.0)
    )
    assert 0 < held < 0.2 * free


def test_given_arrays_stay_as_they_are():
    stages = make_stages(ParameterGroup("encoder"))
    before = [stages[0].weights.copy(), stages[3].weights.copy()]
    train_network(stages, Examples(X, LABELS), TrainingOptions(max_epochs=2))
    for stage, array in zip((stages[0], stages[3]), before, strict=True):
        np.testing.assert_array_equal(stage.weights, array)


def test_epochs_can_be_watched_and_ended():
    losses = []

    def watch(read, history):
        losses.append(history.loss[-1])
        assert read()[0].weights.shape == (12, 6)
        return len(losses) == 3

    trained = train_network(
        make_stages(ParameterGroup()), Examples(X, LABELS), TrainingOptions(max_epochs=9), on_epoch=watch
    )
    assert trained.history.loss == losses
    assert trained.history.stopped_by == "callback"


def test_sparse_rows_need_a_linear_stage_first():
    with pytest.raises(ValueError, match="Sparse rows need a linear stage first"):
        train_network([NormaliseRows(), Linear(X[:12], None)], Examples(sp.csr_matrix(X), LABELS), TrainingOptions())


def test_weights_that_no_row_looks_at_must_be_finite():
    X = sp.csr_matrix(np.eye(4, 5))
    weights = np.ones((5, 1))
    weights[4] = np.inf
    examples = Examples(X, np.ones((4, 1)))
    options = TrainingOptions(loss="squared_error", max_epochs=1)
    with pytest.raises(DivergenceError, match="the mean loss is nan"):
        train_network([Linear(weights, np.zeros(1))], examples, options)
    weights[4] = 1
    assert len(train_network([Linear(weights, np.zeros(1))], examples, options).history.loss) == 1
