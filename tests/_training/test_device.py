"""Devices are named and arrays arrive as they are."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from transferkit._training.device import choose_device, to_tensor


def test_auto_takes_the_gpu_if_there_is_one():
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert choose_device("cpu").type == "cpu"


def test_unknown_and_missing_devices_are_refused():
    with pytest.raises(ValueError, match="Got 'abacus' instead"):
        choose_device("abacus")
    with pytest.raises(ValueError, match="device='cuda:99' is not on this machine"):
        choose_device("cuda:99")
    for device in ("meta", *(["mps"] if not torch.backends.mps.is_available() else [])):
        with pytest.raises(ValueError, match=f"device='{device}' is not on this machine.*Choose 'auto'"):
            choose_device(device)


def test_arrays_and_sparse_matrices_keep_their_entries():
    dense = np.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(to_tensor(dense, choose_device("cpu")), dense)
    sparse = to_tensor(sp.csr_matrix(dense), choose_device("cpu"))
    assert sparse.layout == torch.sparse_csr
    np.testing.assert_array_equal(sparse.to_dense(), dense)


def test_read_only_memory_is_taken_without_a_warning():
    frozen = np.arange(3.0)
    frozen.flags.writeable = False
    np.testing.assert_array_equal(to_tensor(frozen, choose_device("cpu")), frozen)
