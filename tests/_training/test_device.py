"""Arrays of any layout reach the device as they are."""

import numpy as np
import torch

from transferkit._training.device import to_tensor


def test_arrays_that_torch_does_not_take_are_copied():
    column = np.arange(6.0).reshape(6, 1)
    read_only = column.copy()
    read_only.flags.writeable = False
    for array in (column[:, ::-1], column[::-1], read_only, column.T[::-1]):
        np.testing.assert_array_equal(to_tensor(array, torch.device("cpu")).numpy(), array)
