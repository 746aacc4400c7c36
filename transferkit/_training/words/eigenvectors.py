"""Leading eigenvectors of a large sparse symmetric matrix, computed on a GPU."""

from typing import NamedTuple

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from transferkit._algorithms.linalg.decompositions import BLOCK_SHARE, N_STEPS, fix_signs
from transferkit._training.device import with_own_modes
from transferkit._training.words.pairs import WordPairs

__all__ = ["leading_eigenvectors_on_device"]


class _Matrix(NamedTuple):
    pairs: WordPairs

    def __matmul__(self, right: Tensor) -> Tensor:
        return torch.cat([part.combine(part.counts, right) for part in self.pairs.slices])


@with_own_modes()
def leading_eigenvectors_on_device(
    matrix: sparse.csr_array, n_vectors: int, random_state: np.random.RandomState, device: torch.device
) -> tuple[np.ndarray, np.ndarray]:
    """Return the eigenvectors with the eigenvalues of largest magnitude, by block Lanczos.

    Parameters and result are those of :func:`transferkit._algorithms.linalg.decompositions.leading_eigenvectors`, whose
    notes describe the method. The matrix must have more than ``4.2 * n_vectors`` rows.
    """
    operator = _Matrix(WordPairs(matrix, device))
    width = int(np.ceil(BLOCK_SHARE * n_vectors))
    n_rows, size = matrix.shape[0], width * N_STEPS
    start = random_state.standard_normal((n_rows, width)).astype(np.float32)
    basis = torch.empty((size, n_rows), device=device).T  # a block of columns is contiguous
    projected = torch.zeros((size, size), dtype=torch.float64, device=device)
    block = _orthonormal(operator @ torch.from_numpy(start).to(device))
    for step in range(N_STEPS):
        begin, end = step * width, (step + 1) * width
        basis[:, begin:end] = block
        image = operator @ block.contiguous()
        known = basis[:, :end]
        shares = known.T @ image
        projected[:end, begin:end] = shares
        projected[begin:end, :end] = shares.T
        block = _orthonormal(image - known @ shares)
        for _ in range(2):  # rounding errors leave components along the earlier blocks
            block = _orthonormal(block - known @ (known.T @ block))
    values, rotation = torch.linalg.eigh(projected)
    order = values.abs().argsort(descending=True, stable=True)[:n_vectors]
    vectors = basis @ rotation[:, order].float()
    return fix_signs(vectors.cpu().numpy()), values[order].float().cpu().numpy()


def _orthonormal(columns: Tensor) -> Tensor:
    """Return an orthonormal basis of the columns, by the Cholesky factor of their Gram matrix in float64."""
    exact = columns.double()
    gram = exact.T @ exact
    gram.diagonal().add_(1e-14 * gram.diagonal().max())  # for columns that are zero up to rounding
    factor = torch.linalg.cholesky_ex(gram, upper=True)[0]  # without waiting for the device
    return torch.linalg.solve_triangular(factor, exact, upper=True, left=False).float()
