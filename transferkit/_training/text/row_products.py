"""Products with sparse rows on a device, for the singular value decomposition."""

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from transferkit._algorithms.linalg.truncated_svd import RightVectors
from transferkit._training.device import to_tensor
from transferkit._training.modes import with_own_modes

__all__ = ["DeviceRowProducts"]


class DeviceRowProducts:
    """What :class:`RowProducts` does, with tensors: the rows and their transpose stay on the device."""

    @with_own_modes()
    def __init__(self, rows: sparse.csr_matrix, before: RightVectors | None, device: torch.device) -> None:
        self._device = device
        self._rows = to_tensor(rows, device)
        self._columns = to_tensor(rows.T.tocsr(), device)  # transposing on every product is ten times slower
        self._summary = None  # (n_columns, n_earlier)
        if before is not None:
            self._summary = self.put(before.vectors * before.values)
        self.n_rows = rows.shape[0] + (0 if before is None else len(before.values))
        self.n_columns = rows.shape[1]

    @with_own_modes()
    def times(self, right: Tensor) -> Tensor:
        """Return X @ right."""
        product = self._rows @ right
        return product if self._summary is None else torch.cat([product, self._summary.T @ right])

    @with_own_modes()
    def transposed_times(self, right: Tensor) -> Tensor:
        """Return X.T @ right."""
        if self._summary is None:
            return self._columns @ right
        n_new = len(self._rows)
        return self._columns @ right[:n_new] + self._summary @ right[n_new:]

    @with_own_modes()
    def orthonormal(self, vectors: Tensor) -> Tensor:
        """Return an orthonormal basis of the span."""
        return torch.linalg.qr(vectors)[0]

    @with_own_modes()
    def inner(self, left: Tensor, right: Tensor) -> np.ndarray:
        """Return left.T @ right, summed in float64, as a NumPy array."""
        return (left.double().T @ right.double()).cpu().numpy()

    def put(self, array: np.ndarray) -> Tensor:
        """Return the array on the device."""
        return to_tensor(array, self._device)

    def get(self, array: Tensor) -> np.ndarray:
        """Return the tensor as a NumPy array."""
        return array.cpu().numpy()
