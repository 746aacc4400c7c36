"""Offsets of the scores in a search over C."""

import numpy as np
import pytest
from scipy import sparse

from transferkit import FeatureBlocks
from transferkit._algorithms.linear.kernel_search import KernelSearch
from transferkit._training.linear.search import LogisticSearch


def centred(scores):
    """Return scores without the part that classes share, which changes no probability."""
    return scores if scores.shape[2] == 1 else scores - scores.mean(2, keepdims=True)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_offsets_that_are_linear_are_a_prior(n_classes):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 5)), np.arange(60) % n_classes
    n_outputs = 1 if n_classes == 2 else n_classes
    prior = rng.normal(size=(n_outputs, 5))
    fold_weights = (rng.random((60, 3)) < 0.7).astype(float)
    targets = y[:, None] if n_classes == 2 else y
    options = {"n_outputs": n_outputs, "fit_intercept": True, "tol": 1e-9, "max_iter": 1000, "device": "cpu"}
    offsets = np.repeat((X @ prior.T)[:, None], 3, axis=1)
    with_prior = LogisticSearch(X, targets, fold_weights, prior=prior, **options)
    with_offsets = LogisticSearch(X, targets, fold_weights, offsets=offsets, **options)
    for expected, found in zip(with_prior.run([0.1, 1.0]), with_offsets.run([0.1, 1.0]), strict=True):
        np.testing.assert_allclose(centred(found.scores), centred(expected.scores), atol=1e-3)
        for of_prior, of_offsets in zip(expected.models(), found.models(), strict=True):
            np.testing.assert_allclose(of_offsets.coef + prior, of_prior.coef, atol=1e-3)
    ones = np.ones((60, 1))
    refitted = with_offsets.refit([found], ones, offsets[:, 0])[0]
    np.testing.assert_allclose(refitted.coef + prior, with_prior.refit([expected], ones)[0].coef, atol=1e-3)


@pytest.mark.parametrize("kind", [LogisticSearch, KernelSearch])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_folds_can_be_fitted_one_by_one(kind, n_classes):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 40)), np.arange(60) % n_classes
    n_outputs = 1 if n_classes == 2 else n_classes
    fold_weights = (np.arange(60)[:, None] // 7 % 3 != np.arange(3)).astype(float)
    options = {"n_outputs": n_outputs, "fit_intercept": True, "tol": 1e-9, "max_iter": 1000}
    if kind is LogisticSearch:
        options["device"] = "cpu"
    offsets = rng.normal(size=(60, 3, n_outputs))
    search = kind(X, y[:, None] if n_classes == 2 else y, fold_weights, offsets=offsets, **options)
    together = centred(search.fit(1.0).scores)
    for fold in range(3):
        alone = search.on_fold(fold).fit(1.0)
        np.testing.assert_allclose(centred(alone.scores)[:, 0], together[:, fold], atol=1e-3)
        refitted, expected = (search.refit([fit], np.ones((60, 1)))[0] for fit in (alone, search.fit(1.0)))
        np.testing.assert_allclose(refitted.coef, expected.coef, atol=1e-3)


def test_fits_start_near_those_of_other_scales_and_of_some_of_the_blocks():
    rng = np.random.default_rng(0)
    words, further = (sparse.random_array((400, 600), density=0.02, rng=rng, dtype=np.float32).tocsr() for _ in "ab")
    vectors = rng.normal(size=(400, 10)).astype(np.float32)
    y = (words[:, :9] @ rng.normal(size=(9, 3)) + vectors[:, :3]).argmax(1)
    options = {"n_outputs": 3, "fit_intercept": True, "tol": 1e-4, "max_iter": 1000, "device": "cpu"}
    options["fold_weights"] = np.ones((400, 1), np.float32)
    blocks = FeatureBlocks(words, vectors)
    search = LogisticSearch(blocks, y, block_scales=[(1.0, 1.0), (1.0, 0.7)], **options)
    wide = LogisticSearch(FeatureBlocks(words, further, vectors), y, block_scales=[(1.0, 0.1, 1.0)], **options)
    first = search.fit(10.0)
    for other, scale_index in ((search, 1), (wide, 0)):
        cold, near = other.fit(10.0, scale_index=scale_index), other.fit(10.0, [first], scale_index)
        assert near.n_iter[0] < 0.8 * cold.n_iter[0]
        np.testing.assert_allclose(centred(near.scores), centred(cold.scores), atol=0.1)
    others = LogisticSearch(FeatureBlocks(further[:, :500], vectors), y, block_scales=[(1.0, 1.0)], **options)
    np.testing.assert_array_equal(others.fit(10.0, [first]).scores, others.fit(10.0).scores)


@pytest.mark.parametrize("size", [12.0, 200.0])
def test_an_offset_that_knows_the_labels_ends_training_soon(size):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 40)).astype(np.float32), np.arange(60) % 3
    offsets = np.repeat((size * np.eye(3)[y])[:, None], 2, axis=1).astype(np.float32)
    options = {"n_outputs": 3, "fit_intercept": True, "tol": 1e-4, "max_iter": 1000, "device": "cpu"}
    fits = list(LogisticSearch(X, y, np.ones((60, 2), np.float32), offsets=offsets, **options).run([1.0, 1000.0]))
    assert all(fit.converged for fit in fits)
    assert max(fit.n_iter.max() for fit in fits) < 10
