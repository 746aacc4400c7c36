"""Features computed by a trained torch module."""

import copy
from dataclasses import dataclass
from threading import local
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from transferkit._training.device import choose_device, to_tensor, with_own_modes

__all__ = ["ModuleFeatures", "ModuleLayer", "copy_module", "is_module", "is_program"]

_MAX_NAMES = 60  # of layers in an error message


def is_program(module: Any) -> bool:
    """Return whether this is a program from `torch.export`."""
    return isinstance(module, torch.export.ExportedProgram)


def is_module(module: Any) -> bool:
    """Return whether this is a module or an exported program."""
    return isinstance(module, nn.Module) or is_program(module)


def copy_module(module: Any) -> nn.Module:
    """Return a deep copy of the module without gradients.

    Raises
    ------
    ValueError
        If it cannot be copied.
    """
    if is_program(module):
        return torch.export.unflatten(module)
    if isinstance(module, torch.jit.ScriptModule):
        raise ValueError(
            "The module of TorchEncoder comes from torch.jit, and such modules can be neither frozen nor inspected. "
            "Give the module that was scripted, or a program: torch.export.export(module.eval(), (example_rows,))."
        )
    try:
        copied: nn.Module = copy.deepcopy(module)
    except Exception as error:  # a module may hold anything
        raise ValueError(
            f"The module of TorchEncoder cannot be copied ({error}), and without a copy it would be changed. Give "
            "it as a torch.export program, or without tensors that are neither parameters nor buffers."
        ) from error
    copied.zero_grad(set_to_none=True)
    return copied


class ModuleFeatures:
    """The features that a copy of a module, or one of its layers, computes in evaluation mode.

    The module, or exported program, is not changed. `output` is the name of the layer, or None for the output of the
    module; `batch_size` is the number of samples per forward pass.

    Raises
    ------
    ValueError
        If there is no such layer; the message lists the names.
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
        """Return features (n_samples, n_features), float32, of samples (n_samples, ...).

        Raises
        ------
        TypeError
            If the layer does not return one tensor.
        ValueError
            If the module cannot process the samples, or does not return one row of finite numbers per sample.
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
            raise ValueError(
                f"The module of TorchEncoder returned NaN or infinity for row {row}, whose entries are finite."
            )
        return features

    def run(self, call: Any, batch: Tensor) -> Tensor:
        """Return the features (n_samples, n_features) of one batch, where `call(batch)` runs the module.

        The module gets a copy, because it may work in place, and the batch may be a view of the caller's data.
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
        except Exception as error:  # its forward method is arbitrary code
            raise ValueError(
                f"The module of TorchEncoder cannot be run on rows of shape {shape}: {error} "
                "Set input_shape to the shape of one sample in the module."
            ) from error
        if self.output is not None:
            result, self._caught.value = self._caught.value, None
        return self._check(result, len(batch))

    def _catch(self, module: nn.Module, arguments: Any, result: Any) -> None:
        self._caught.value = result

    def _check(self, result: Any, n_rows: int) -> Tensor:
        source = "The module" if self.output is None else f"The layer {self.output!r} of the module"
        if result is None and self.output is not None:
            raise ValueError(f"{source} of TorchEncoder is not run by its forward. Choose among {self._list_names()}.")
        if not isinstance(result, Tensor) or result.is_complex():
            raise TypeError(
                f"{source} of TorchEncoder returns {_describe(result)}, and features must be one tensor of real "
                f"numbers. Set output to the layer that returns it: {self._list_names()}."
            )
        if result.ndim == 0 or len(result) != n_rows:
            raise ValueError(
                f"{source} of TorchEncoder returns a tensor of shape {tuple(result.shape)} for {n_rows} rows: it must "
                "have one row per sample. Choose another output, or another input_shape."
            )
        return result.reshape(n_rows, -1)

    def _list_names(self) -> str:
        shown = ", ".join(map(repr, self.names[:_MAX_NAMES])) or "none"
        more = len(self.names) - _MAX_NAMES
        return shown if more <= 0 else f"{shown} and {more} more (module.named_modules() lists all)"


def _find_fixed_size(module: Any) -> int | None:
    """Return the batch size of an exported program if it is fixed."""
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


@dataclass(eq=False, slots=True)
class ModuleLayer:
    """The output of a torch module, or of its layer `output`, for samples of shape `input_shape`.

    The module is not changed; a copy is trained. `batch_size` is the number of samples per forward pass if nothing is
    trained, and `device` where `predict` computes.
    """

    module: Any
    output: str | None
    input_shape: tuple[int, ...]
    batch_size: int
    device: str = "auto"

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Return the features of samples (n_samples, n_values)."""
        features = ModuleFeatures(self.module, self.output, self.batch_size, self.device)
        return features.compute(X.reshape(len(X), *self.input_shape))
