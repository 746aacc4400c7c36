"""Where training runs, and how arrays get there."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch

__all__ = ["as_writable", "choose_device", "csr_tensor", "one_thread_if_small", "to_tensor"]

SMALL_STEP = 3e7  # multiplications and additions, of which one thread is done before two have met

if hasattr(os, "register_at_fork"):  # a forked child has none of the threads that torch would wait for
    os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))


def choose_device(device: str) -> torch.device:
    """Return the torch device that a `device` parameter names.

    Parameters
    ----------
    device : str
        "auto" (CUDA if there is one, else the CPU), "cpu", "cuda" or "cuda:1".

    Raises
    ------
    ValueError
        If torch knows no such device, or sees none on this machine.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise ValueError(f"device must be 'auto', 'cpu', 'cuda' or 'cuda:<number>'. Got {device!r} instead.") from error
    available = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if chosen.type == "cuda" and (chosen.index or 0) >= available:
        raise ValueError(f"device={device!r} is not on this machine: torch sees {available} CUDA device(s).")
    if chosen.type not in ("cpu", "cuda"):
        try:
            torch.zeros(1, device=chosen).item()
        except Exception as error:  # each kind of device has an error of its own
            raise ValueError(
                f"device={device!r} is not on this machine, or cannot compute. Choose 'auto', 'cpu' or 'cuda'."
            ) from error
    return chosen


@contextmanager
def one_thread_if_small(device: torch.device, n_operations: float) -> Iterator[None]:
    """Let the CPU work with one thread where a step is so small that waiting for others takes longer than the work."""
    before = torch.get_num_threads()
    if device.type != "cpu" or n_operations > SMALL_STEP or before == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def to_tensor(matrix: Any, device: torch.device, dtype: torch.dtype | None = None) -> torch.Tensor:
    """Return a NumPy array or SciPy matrix on the device; a sparse one stays sparse (CSR) and keeps its type."""
    if not sp.issparse(matrix):
        return torch.from_numpy(as_writable(np.ascontiguousarray(matrix))).to(device, dtype)
    csr = matrix.tocsr()
    index = np.int32 if max(csr.nnz, *csr.shape) < 2**31 else np.int64
    pointers, indices = (torch.from_numpy(part.astype(index)).to(device) for part in (csr.indptr, csr.indices))
    entries = torch.from_numpy(as_writable(csr.data)).to(device)
    return csr_tensor(pointers, indices, entries, csr.shape)


def csr_tensor(
    pointers: torch.Tensor, indices: torch.Tensor, entries: torch.Tensor, shape: tuple[int, int]
) -> torch.Tensor:
    """Return a CSR tensor of parts that are known to be right."""
    with warnings.catch_warnings():  # torch calls CSR tensors new since 2021; its user cannot do anything about it
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        warnings.filterwarnings("ignore", message="Sparse invariant checks are implicitly disabled")  # torch 2.11
        return torch.sparse_csr_tensor(pointers, indices, entries, shape, check_invariants=False)


def as_writable(array: np.ndarray) -> np.ndarray:
    """Return the array, or a copy of one that torch does not take: read-only (a memory map) or stored backwards."""
    return array if array.flags.writeable and min(array.strides, default=0) >= 0 else array.copy()
