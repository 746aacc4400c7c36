"""Rows that a fit holds out take part in no step, only in the scores at the end."""

import numpy as np
import pytest
from scipy import sparse

from transferkit import FeatureBlocks
from transferkit._training.linear import search as search_module
from transferkit._training.linear.preconditioning import ConcatenatedMap, EigenMap, RowMap
from transferkit._training.linear.search import LogisticSearch

N_ROWS = 240


def make_features(kind):
    """Return features whose columns are far from zero, so that means matter."""
    rng = np.random.default_rng(0)
    words = sparse.random_array((N_ROWS, 1100), density=0.03, rng=rng).tocsr()
    words.data += 1
    vectors = rng.normal(size=(N_ROWS, 6)) + 2
    return {
        "dense": vectors,
        "sparse": words,
        "blocks": FeatureBlocks(words[:, :300], vectors),
        "wide blocks": FeatureBlocks(words, vectors),
    }[kind]


def make_search(kind, n_classes, fit_intercept, tol=1e-9):
    X, y = make_features(kind), np.arange(N_ROWS) % n_classes
    n_outputs = 1 if n_classes == 2 else n_classes
    fold_weights = (np.arange(N_ROWS)[:, None] // 7 % 3 != np.arange(3)).astype(float)
    targets = y[:, None] if n_classes == 2 else y
    options = {"n_outputs": n_outputs, "fit_intercept": fit_intercept, "tol": tol, "max_iter": 1000, "device": "cpu"}
    return X, LogisticSearch(X, targets, fold_weights, **options)


def centred(values, axis):
    """Return values without the part that classes share, which changes no probability."""
    return values if values.shape[axis] == 1 else values - values.mean(axis, keepdims=True)


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize(
    ("kind", "map_type"),
    [("dense", EigenMap), ("sparse", RowMap), ("blocks", EigenMap), ("wide blocks", ConcatenatedMap)],
)
def test_one_fold_alone_is_like_the_same_fold_among_others(kind, map_type, n_classes, fit_intercept):
    X, search = make_search(kind, n_classes, fit_intercept)
    together = search.fit(1.0)
    for fold in (0, 2):
        part = search.on_fold(fold)
        alone = part.fit(1.0)
        assert type(alone.problem.preconditioner) is map_type
        np.testing.assert_allclose(centred(alone.scores, 2)[:, 0], centred(together.scores, 2)[:, fold], atol=1e-3)
        model, expected = alone.last_model(), together.models()[fold]
        np.testing.assert_allclose(X @ model.coef.T + model.intercept, alone.scores[:, 0], atol=1e-8)
        np.testing.assert_allclose(centred(model.coef, 0), centred(expected.coef, 0), atol=1e-3)
        again = part.fit(1.0, [alone])
        assert again.n_iter[0] < alone.n_iter[0] / 2
        np.testing.assert_allclose(centred(again.scores, 2), centred(alone.scores, 2), atol=1e-3)
        refitted, of_all = (search.refit([fit], np.ones((N_ROWS, 1)))[0] for fit in (alone, together))
        np.testing.assert_allclose(centred(refitted.coef, 0), centred(of_all.coef, 0), atol=1e-3)


def test_scaled_copies_of_features_are_not_kept():
    X, search = make_search("blocks", 3, True)
    assert search.fit(1.0).problem.design.X is None
    assert X.blocks[0].nnz > 0


def test_steps_use_no_row_that_is_held_out(monkeypatch):
    sizes, minimise = [], search_module.minimise

    def record(problem, start, **options):
        sizes.append(len(problem.loss.weights))
        return minimise(problem, start, **options)

    monkeypatch.setattr(search_module, "minimise", record)
    _, search = make_search("blocks", 3, True, 1e-3)
    search.on_fold(0).fit(1.0)
    search.fit(1.0)
    assert sizes == [np.count_nonzero(search.fold_weights[:, 0]), N_ROWS]
