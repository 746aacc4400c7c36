"""Both blocks of features, and the one weight per term that replaces them after training."""

import numpy as np
import pytest
from scipy import sparse

from transferkit._algorithms.linear.term_prior import block_factors, make_blocks, merge_blocks

RNG = np.random.default_rng(0)
ROWS = sparse.csr_matrix(RNG.random((12, 9)) * (RNG.random((12, 9)) < [0.6] * 4 + [0] + [0.6] * 4), dtype=np.float32)
SCALES, VECTORS = RNG.uniform(0.5, 2, 9), RNG.normal(size=(7, 3)).astype(np.float32)  # the last two terms have none


def test_blocks_are_rows_and_their_projections():
    blocks = make_blocks(ROWS, SCALES, VECTORS)
    scaled = ROWS.toarray() * SCALES
    np.testing.assert_array_equal(blocks.seen, [0, 1, 2, 3, 5, 6, 7, 8])
    np.testing.assert_allclose(blocks.rows.toarray(), blocks.term_scale * scaled[:, blocks.seen], rtol=1e-5)
    projected = scaled[:, :7] @ VECTORS
    mean = projected.mean(axis=0)
    common = mean / np.linalg.norm(mean)
    expected = (projected - mean) @ (np.eye(3) - np.outer(common, common))
    np.testing.assert_allclose(blocks.dense, blocks.centring.scale * expected, atol=1e-5)
    for block in (blocks.rows.toarray(), blocks.dense):
        assert np.square(block).sum(axis=1).mean() == pytest.approx(1, rel=1e-5)


def test_rows_that_are_all_alike_have_no_projection():
    blocks = make_blocks(sparse.csr_matrix(np.ones((4, 9), np.float32)), SCALES, VECTORS)
    assert blocks.centring.scale == 0
    np.testing.assert_array_equal(blocks.dense, 0)


def test_merged_weights_are_the_same_model_on_the_rows_themselves():
    blocks = make_blocks(ROWS, SCALES, VECTORS)
    of_terms, of_vectors, intercept = RNG.normal(size=(2, 8)), RNG.normal(size=(2, 3)), RNG.normal(size=2)
    merged = merge_blocks(blocks, of_terms, of_vectors, intercept)
    expected = blocks.rows @ of_terms.T + blocks.dense @ of_vectors.T + intercept
    found = ROWS @ (merged.labels.toarray() + merged.pretraining).T + merged.intercept
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert not merged.labels.toarray()[:, 4].any()  # a term that no row holds gets its weight from its vector
    assert merged.pretraining[:, 4].all()
    assert not merged.pretraining[:, 7:].any()


def test_an_infinite_alpha_leaves_the_vectors_alone():
    assert block_factors(0.5) == (1, 0.5)
    assert block_factors(np.inf) == (0, 1)
