"""Features of rows from a torch module that somebody else trained."""

import copy
from threading import local
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from transferkit._training.device import choose_device, to_tensor
from transferkit._training.modes import with_own_modes

__all__ = ["ModuleFeatures", "copy_module", "is_module", "is_program"]

_MOST_NAMES = 60  # of layers in an error


def is_program(module: Any) -> bool:
    """Return whether this is a program from `torch.export`."""
    return isinstance(module, torch.export.ExportedProgram)


def is_module(module: Any) -> bool:
    """Return whether features can be computed with this."""
    return isinstance(module, nn.Module) or is_program(module)


def copy_module(module: Any) -> nn.Module:
    """Return a copy that shares nothing with the module: its own tensors, without gradients.

    Raises
    ------
    ValueError
        If it cannot be copied.
    """
    if is_program(module):
        return torch.export.unflatten(module)
    if isinstance(module, torch.jit.ScriptModule):
        raise ValueError(
            "The module of TorchEncoder comes from torch.jit, and such modules can be neither frozen nor looked into. "
            "Give the module that was scripted, or a program: torch.export.export(module.eval(), (example_rows,))."
        )
    try:
        twin: nn.Module = copy.deepcopy(module)
    except Exception as error:  # a module may hold anything
        raise ValueError(
            f"The module of TorchEncoder cannot be copied ({error}), and it is not used itself so that it stays as it "
            "is. Give it as a torch.export program, or without tensors that are neither parameters nor buffers."
        ) from error
    twin.zero_grad(set_to_none=True)
    return twin


class ModuleFeatures:
    """A copy of a module, in evaluation mode, and the features that one of its layers makes of rows.

    Parameters
    ----------
    module : torch.nn.Module or torch.export.ExportedProgram
        Stays as it is.
    output : str or None
        Name of the layer; None is the module's own output.
    batch_size : int
        Rows at a time.
    device : str
        As for `choose_device`.

    Raises
    ------
    ValueError
        If there is no such layer; the names are listed.
    """

    @with_own_modes()
    def __init__(self, module: Any, output: str | None, batch_size: int, device: str) -> None:
        self.device, self.output = choose_device(device), output
        self.module = copy_module(module).requires_grad_(False).to(self.device).eval()
        self.names = [name for name, _ in self.module.named_modules() if name]
        self.fixed_size = _find_fixed_size(module)
        self.batch_size = self.fixed_size or batch_size
        floats = (tensor.dtype for tensor in self.module.parameters() if tensor.is_floating_point())
        self.dtype = next(floats, torch.float32)
        self._caught = local()  # threads may share the copy
        if output is not None:
            if output not in self.names:
                raise ValueError(
                    f"The module of TorchEncoder has no layer {output!r}. Its layers are {self._list_names()}."
                )
            self.module.get_submodule(output).register_forward_hook(self._catch)

    @with_own_modes()
    def compute(self, X: np.ndarray) -> np.ndarray:
        """Return features (n_rows, n_features), float32, of rows (n_rows, ...).

        Raises
        ------
        TypeError
            If the layer does not return one tensor.
        ValueError
            If the module cannot be run on such rows, or does not return one row of finite numbers for each.
        """
        parts = []
        with torch.no_grad():
            for begin in range(0, len(X), self.batch_size):
                rows = X[begin : begin + self.batch_size]
                n_rows = len(rows)
                if self.fixed_size and n_rows < self.fixed_size:
                    rows = rows[np.arange(self.fixed_size) % n_rows]
                batch = to_tensor(rows, self.device, self.dtype)
                parts.append(self.run(self.module, batch)[:n_rows].float().cpu().numpy())
        features = np.concatenate(parts)
        if not np.isfinite(features).all():
            row = int(np.flatnonzero(~np.isfinite(features).all(axis=1))[0])
            raise ValueError(f"The module of TorchEncoder made NaN or infinity of row {row}, whose entries are finite.")
        return features

    def run(self, call: Any, batch: Tensor) -> Tensor:
        """Return the features of one batch, (n_rows, n_features), when `call(batch)` runs the module.

        The module gets a copy: it may work in place, and the batch may be a view of the caller's rows.
        """
        self._caught.value = None
        shape = tuple(batch.shape[1:])
        try:
            result = call(batch.clone())
        except torch.OutOfMemoryError as error:
            smaller = max(1, self.batch_size // 4)
            raise MemoryError(
                f"The module of TorchEncoder ran out of memory on {self.device} with {len(batch)} rows of shape "
                f"{shape} at a time. Try batch_size={smaller}, or device='cpu'."
            ) from error
        except Exception as error:  # its forward is anybody's code
            raise ValueError(
                f"The module of TorchEncoder cannot be run on rows of shape {shape}: {error} "
                "input_shape says what shape each row is given before it goes in."
            ) from error
        if self.output is not None:
            result, self._caught.value = self._caught.value, None
        return self._check(result, len(batch))

    def _catch(self, module: nn.Module, arguments: Any, result: Any) -> None:
        self._caught.value = result

    def _check(self, result: Any, n_rows: int) -> Tensor:
        what = "The module" if self.output is None else f"The layer {self.output!r} of the module"
        if result is None and self.output is not None:
            raise ValueError(f"{what} of TorchEncoder is not run by its forward. Choose among {self._list_names()}.")
        if not isinstance(result, Tensor) or result.is_complex():
            raise TypeError(
                f"{what} of TorchEncoder returns {_describe(result)}, and features must be one tensor of real numbers. "
                f"Set output to the layer that returns it: {self._list_names()}."
            )
        if result.ndim == 0 or len(result) != n_rows:
            raise ValueError(
                f"{what} of TorchEncoder returns a tensor of shape {tuple(result.shape)} for {n_rows} rows: it must "
                "have one row for each. Choose another output, or another input_shape."
            )
        return result.reshape(n_rows, -1)

    def _list_names(self) -> str:
        shown = ", ".join(map(repr, self.names[:_MOST_NAMES])) or "none"
        more = len(self.names) - _MOST_NAMES
        return shown if more <= 0 else f"{shown} and {more} more (module.named_modules() lists all)"


def _find_fixed_size(module: Any) -> int | None:
    """Return the number of rows that an exported program was made for, if it takes no other."""
    if not is_program(module):
        return None
    names = module.graph_signature.user_inputs
    [first, *_] = [node.meta["val"] for node in module.graph.nodes if node.op == "placeholder" and node.name in names]
    return first.shape[0] if type(first.shape[0]) is int else None


def _describe(result: Any) -> str:
    if isinstance(result, Tensor):
        return f"a tensor of {result.dtype}"
    if isinstance(result, dict):
        return f"a {type(result).__name__} with the keys {list(result)}"
    if isinstance(result, (tuple, list)):
        return f"a {type(result).__name__} of {len(result)}"
    return f"a {type(result).__name__}"
