"""How training uses torch: the device, the number of threads, the modes, and arrays on devices."""

import os
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch

__all__ = ["as_writable", "choose_device", "csr_tensor", "one_thread_if_small", "to_tensor", "with_own_modes"]

SMALL_STEP = 3e7  # multiplications and additions up to which one thread is faster than several

if hasattr(os, "register_at_fork"):  # a forked child does not have the threads that torch would wait for
    os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))


def choose_device(device: str) -> torch.device:
    """Return the torch device that a `device` parameter names: "auto" (CUDA if available), "cpu", "cuda" or "cuda:1".

    Raises
    ------
    ValueError
        If torch does not know the device, or this machine does not have it.
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
        except Exception as error:  # each kind of device raises its own error
            raise ValueError(
                f"device={device!r} is not on this machine, or cannot compute. Choose 'auto', 'cpu' or 'cuda'."
            ) from error
    return chosen


@contextmanager
def one_thread_if_small(device: torch.device, n_operations: float) -> Iterator[None]:
    """Use one CPU thread if a step is so small that synchronising threads takes longer than the computation."""
    before = torch.get_num_threads()
    if device.type != "cpu" or n_operations > SMALL_STEP or before == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def with_own_modes() -> Iterator[None]:
    """Switch off the caller's inference mode, automatic casts and default device; also a decorator.

    Inference mode disables differentiation, and its tensors cannot be changed later. Autocast computes products in half
    precision. Tensors without an explicit device belong on the CPU. Not for generators, whose caller would see the
    modes between two items.
    """
    with ExitStack() as stack:
        if torch.is_inference_mode_enabled():
            stack.enter_context(torch.inference_mode(False))
        for device in ("cpu", "cuda"):
            if torch.is_autocast_enabled(device):
                stack.enter_context(torch.autocast(device, enabled=False))
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        yield


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
    """Return a CSR tensor of arrays that are known to be valid."""
    with warnings.catch_warnings():  # torch has warned about CSR tensors since 2021
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        warnings.filterwarnings("ignore", message="Sparse invariant checks are implicitly disabled")  # torch 2.11
        return torch.sparse_csr_tensor(pointers, indices, entries, shape, check_invariants=False)


def as_writable(array: np.ndarray) -> np.ndarray:
    """Return the array, or a copy if torch does not accept it: read-only (a memory map) or with negative strides."""
    return array if array.flags.writeable and min(array.strides, default=0) >= 0 else array.copy()
