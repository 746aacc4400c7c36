"""Pruning and quantisation of arrays."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from transferkit._algorithms.networks.compression import (
    choose_zeros,
    count_bytes,
    dequantise,
    dequantise_layers,
    quantise_array,
    store_small,
)

RNG = np.random.default_rng(0)
WEIGHTS = [RNG.normal(size=(6, 5)), 10 * RNG.normal(size=(5, 4))]


def choose(amount, method, scope="layer", weights=WEIGHTS):
    return choose_zeros(weights, amount, method, scope, np.random.RandomState(0))


@pytest.mark.parametrize(("method", "key"), [("magnitude", np.abs), ("min", np.positive), ("max", np.negative)])
def test_the_lowest_entries_become_zero(method, key):
    for mask, array in zip(choose(0.3, method), WEIGHTS, strict=True):
        assert mask.sum() == int(0.3 * array.size)
        assert key(array)[mask].max() < key(array)[~mask].min()


def test_a_global_share_is_taken_where_weights_are_smallest():
    masks = choose(0.5, "magnitude", "global")
    assert sum(mask.sum() for mask in masks) == 25
    assert masks[0].sum() > 20 > masks[1].sum()
    chosen = np.concatenate([np.abs(array[mask]) for array, mask in zip(WEIGHTS, masks, strict=True)])
    kept = np.concatenate([np.abs(array[~mask]) for array, mask in zip(WEIGHTS, masks, strict=True)])
    assert chosen.max() < kept.min()


def test_a_threshold_is_a_size():
    for mask, array in zip(choose(0.5, "threshold"), WEIGHTS, strict=True):
        np.testing.assert_array_equal(mask, np.abs(array) < 0.5)


def test_random_zeros_include_those_that_are_there():
    array = RNG.normal(size=(10, 10))
    array[RNG.random((10, 10)) < 0.3] = 0
    [mask] = choose(0.5, "random", weights=[array])
    assert mask.sum() == 50
    assert mask[array == 0].all()


@given(arrays(np.float64, (5, 3), elements=st.floats(-1e3, 1e3)))
def test_eight_bits_are_good_to_half_a_step(array):
    small, scales = quantise_array(array, "int8")
    assert small.dtype == np.int8
    step = np.abs(array).max(axis=0) / 127
    assert (np.abs(dequantise(small, scales) - array) <= 0.5 * step * (1 + 1e-4) + 1e-30).all()


def test_half_precision_needs_no_scales():
    small, scales = quantise_array(WEIGHTS[0], "float16")
    assert scales is None
    assert dequantise(small).dtype == np.float32
    np.testing.assert_array_equal(dequantise(small), WEIGHTS[0].astype(np.float16).astype(np.float32))


@pytest.mark.parametrize("density", [0.05, 1.0])
def test_sparse_storage_is_chosen_where_it_is_smaller(density):
    array = RNG.normal(size=(50, 40)) * (RNG.random((50, 40)) < density)
    stored = store_small(array)
    assert sp.issparse(stored) == (density < 0.5)
    assert count_bytes([stored, None]) <= array.nbytes
    [dense] = dequantise_layers([stored], None)
    np.testing.assert_array_equal(dense, array)
