"""How training uses torch: the device, the number of threads, the modes, and arrays on devices."""

import math
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from transferkit._algorithms.linalg.threads import LARGE_STEP, count_threads

__all__ = [
    "PER_SPARSE_ENTRY",
    "as_writable",
    "choose_device",
    "csr_tensor",
    "multiply",
    "threads_for",
    "to_tensor",
    "with_own_modes",
]

PER_SPARSE_ENTRY = 10  # products of numbers in a dense product that take as long as one of a sparse entry
_threads_of_caller: ContextVar[int | None] = ContextVar("threads_of_caller", default=None)


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
def threads_for(n_products: float = 0.0) -> Iterator[None]:
    """Use one CPU thread for small steps, and for large ones all that the process may use; also a decorator.

    The size of a step is its number of products of numbers. All threads of a step wait for the last one, which takes
    some 15 ms where other processes compute: a step of 1 ms was 30 times slower with two threads than with one. A step
    within another one decides anew.
    """
    before, given = torch.get_num_threads(), _threads_of_caller.get()
    known = _threads_of_caller.set(before if given is None else given)
    torch.set_num_threads(1 if n_products < LARGE_STEP else min(before if given is None else given, count_threads()))
    try:
        yield
    finally:
        torch.set_num_threads(before)
        _threads_of_caller.reset(known)


def multiply(left: Tensor, right: Tensor) -> Tensor:
    """Return the product of a dense or sparse (CSR) matrix and a dense one, with several threads if it is large."""
    n_entries = PER_SPARSE_ENTRY * len(left.values()) if left.layout == torch.sparse_csr else left.numel()
    n_products = n_entries * right.shape[1]
    if n_products < LARGE_STEP:
        return left @ right
    with threads_for(n_products):
        return left @ right


@contextmanager
def with_own_modes() -> Iterator[None]:
    """Switch off the caller's inference mode, automatic casts, default device and surplus threads; also a decorator.

    Inference mode disables differentiation, and its tensors cannot be changed later. Autocast computes products in half
    precision. Tensors without an explicit device belong on the CPU. Not for generators, whose caller would see the
    modes between two items.
    """
    with ExitStack() as stack:
        stack.enter_context(threads_for(math.inf))
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
