"""Torch modules as plain data (arrays, class names, plain attributes), and back without running their code."""

import copy
import io
from collections.abc import Callable
from inspect import signature
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from transferkit._training.device import to_tensor
from transferkit._training.modules.features import is_program
from transferkit.exceptions import ModelFileError, how_to_trust

__all__ = ["describe_module", "list_classes", "rebuild_module", "to_picklable"]

_PLAIN_LAYERS = """
    Sequential ModuleList ModuleDict Identity Flatten Unflatten Linear Bilinear Conv1d Conv2d Conv3d ConvTranspose1d
    ConvTranspose2d BatchNorm1d BatchNorm2d BatchNorm3d LayerNorm GroupNorm RMSNorm InstanceNorm1d InstanceNorm2d
    Dropout Dropout1d Dropout2d AlphaDropout MaxPool1d MaxPool2d AvgPool1d AvgPool2d AdaptiveAvgPool1d AdaptiveAvgPool2d
    AdaptiveMaxPool1d AdaptiveMaxPool2d ReLU ReLU6 LeakyReLU PReLU ELU SELU CELU GELU SiLU Mish Tanh Sigmoid Hardswish
    Hardsigmoid Hardtanh Softplus Softsign Softmax LogSoftmax ZeroPad2d
"""  # of torch.nn: their forward checks its input, and they run nothing but torch
LAYERS = frozenset(_PLAIN_LAYERS.split())
# Attributes of these layers beside the parameters of their constructors.
_OTHER_ATTRIBUTES = frozenset(
    {"_reversed_padding_repeated_twice", "max_val", "min_val", "output_padding", "transposed", "value"}
)
_FUNCTIONS = {f"torch.{name}": getattr(torch, name) for name in ("relu", "tanh", "sigmoid", "flatten")} | {
    f"torch.nn.functional.{name}": getattr(nn.functional, name) for name in ("relu", "gelu", "silu", "elu", "selu")
}
PROGRAM = "torch.export.ExportedProgram"
_PLAIN_TENSORS = (Tensor, nn.Parameter, nn.Buffer)
_BASE = frozenset(vars(nn.Module()))  # attributes of every module
_HOOKS = tuple(name for name in sorted(_BASE) if name.endswith(("_hooks", "_pre_hooks")))
_MAX_MODULES, _MAX_DEPTH = 100_000, 100
_ADVICE = (
    "Give TorchEncoder a torch.export program instead (torch.export.export(module.eval(), (example_rows,))), or use "
    "joblib.dump."
)


def to_picklable(module: Any) -> Any:
    """Return an object that pickles tensors as arrays, for any machine, and unpickles as the module."""
    if is_program(module):
        return _PickledCall(_load_program, (_dump_program(module),))
    if not isinstance(module, nn.Module):
        return module
    tensors = [*module.parameters(), *module.buffers()]
    memo: dict[int, Any] = {
        id(tensor): _to_pickled_call(tensor) for tensor in tensors if type(tensor) in _PLAIN_TENSORS
    }
    try:
        return copy.deepcopy(module, memo)
    except Exception:  # a module that cannot be copied may still be pickled
        return module


def describe_module(module: Any) -> dict[str, Any]:
    """Return a module, or an exported program, as plain data.

    For a program this is its archive. Else "tensors", each (array, name of its type), and "modules", inner ones first:
    name of the class, plain attributes, names of classes and functions among the attributes, indices of tensors and
    submodules. The last entry is the module itself.

    Raises
    ------
    ModelFileError
        If a module holds something other than plain data, tensors and modules.
    """
    if is_program(module):
        return {"program": np.frombuffer(_dump_program(module), np.uint8)}
    return _Describer().describe(module)


def list_classes(module: Any) -> list[str]:
    """Return the names of the classes in a module, its own first."""
    if is_program(module):
        return [PROGRAM]
    return list(dict.fromkeys(str(_name_of(type(part))) for part in module.modules()))


def rebuild_module(description: dict[str, Any], class_of: Callable[[str], type | None]) -> Any:
    """Return the module of an untrusted description, without running its code.

    `class_of` returns the class of a name if the caller trusts it, else None.

    Raises
    ------
    ModelFileError
        If a class is neither a layer of torch.nn nor trusted.
    ValueError, TypeError, LookupError
        If the description is damaged.
    """
    if "program" in description:
        if class_of(PROGRAM) is None:
            raise _refuse_classes([PROGRAM], "torch.export.load may run code of the file")
        return _load_program(np.asarray(description["program"], np.uint8).tobytes())
    named = [[entry["class"], *entry["references"].values()] for entry in description["modules"]]
    missing = sorted({str(name) for names in named for name in names if _find(name, class_of) is None})
    if missing:
        raise _refuse_classes(missing, "their code is not in the file")
    tensors = [_make_tensor(*parts) for parts in description["tensors"]]
    modules: list[nn.Module] = []
    sizes: list[int] = []
    depths: list[int] = []
    for entry in description["modules"]:
        indices = [index for index in entry["modules"].values() if index is not None]
        if not all(type(index) is int and 0 <= index < len(modules) for index in indices):
            raise ValueError("a module within a module is missing")
        sizes.append(1 + sum(sizes[index] for index in indices))
        depths.append(1 + max((depths[index] for index in indices), default=0))
        if sizes[-1] > _MAX_MODULES or depths[-1] > _MAX_DEPTH:
            raise ModelFileError(
                f"The model file is damaged: it holds more than {_MAX_MODULES} modules, or nests them more than "
                f"{_MAX_DEPTH} deep."
            )
        modules.append(_build(entry, tensors, modules, class_of))
    return modules[-1]


class _Describer:
    """Describe modules as entries, each of them once."""

    def __init__(self) -> None:
        self.entries: list[dict[str, Any]] = []
        self.tensors: list[tuple[np.ndarray, str]] = []
        self.indices: dict[int, int] = {}

    def describe(self, module: nn.Module) -> dict[str, Any]:
        self._add_module(module, "module")
        return {"tensors": self.tensors, "modules": self.entries}

    def _add_module(self, module: nn.Module, path: str) -> int:
        if id(module) in self.indices:
            return self.indices[id(module)]
        cls, state = type(module), vars(module)
        if any(state.get(name) for name in _HOOKS):
            raise ModelFileError(f"{path} of TorchEncoder has hooks, which cannot be stored. Remove them. {_ADVICE}")
        plain, references = {}, {}
        for name in [name for name in state if name not in _BASE]:
            if not _may_hold(cls, name):
                raise ModelFileError(f"{path}.{name} is not an attribute of {cls.__name__}. {_ADVICE}")
            reference = _name_of(state[name])
            if reference is not None:
                references[name] = reference
            else:
                plain[name] = _to_plain(state[name], f"{path}.{name}")
        lasting = [name for name in module._buffers if name not in module._non_persistent_buffers_set]
        entry = {
            "class": _name_of(cls),
            "training": module.training,
            "attributes": plain,
            "references": references,
            "parameters": {name: self._add_tensor(t, f"{path}.{name}") for name, t in module._parameters.items()},
            "learns": [
                name for name, tensor in module._parameters.items() if tensor is not None and tensor.requires_grad
            ],
            "buffers": {name: self._add_tensor(t, f"{path}.{name}") for name, t in module._buffers.items()},
            "lasting": lasting,
            "modules": {
                name: None if child is None else self._add_module(child, f"{path}.{name}")
                for name, child in module._modules.items()
            },
        }
        self.indices[id(module)] = len(self.entries)
        self.entries.append(entry)
        return self.indices[id(module)]

    def _add_tensor(self, tensor: Tensor | None, path: str) -> int | None:
        if tensor is None:
            return None
        if id(tensor) not in self.indices:
            if type(tensor) not in _PLAIN_TENSORS or tensor.layout != torch.strided or tensor.is_quantized:
                raise ModelFileError(f"{path} is a {type(tensor).__name__} that cannot be stored. {_ADVICE}")
            self.indices[id(tensor)] = len(self.tensors)
            self.tensors.append((_to_array(tensor), str(tensor.dtype).removeprefix("torch.")))
        return self.indices[id(tensor)]


def _build(
    entry: dict[str, Any],
    tensors: list[Tensor],
    modules: list[nn.Module],
    class_of: Callable[[str], type | None],
) -> nn.Module:
    cls = _find_class(entry["class"], class_of)
    if not issubclass(cls, nn.Module):
        raise ModelFileError(f"{entry['class']!r} is not a torch module.")
    module = object.__new__(cls)  # cls() would run its code
    nn.Module.__init__(module)
    references = {name: _find(reference, class_of) for name, reference in entry["references"].items()}
    for name, value in (entry["attributes"] | references).items():
        if not _may_hold(cls, name):
            raise ModelFileError(f"The model file sets {name!r}, which is not part of the state of a {entry['class']}.")
        vars(module)[name] = value
    for name, index in entry["parameters"].items():
        tensor = None if index is None else tensors[index]
        if tensor is not None and not isinstance(tensor, nn.Parameter):
            is_float = tensor.is_floating_point()
            tensor = tensors[index] = nn.Parameter(tensor, requires_grad=is_float and name in entry["learns"])
        module._parameters[str(name)] = tensor
    for name, index in entry["buffers"].items():
        module._buffers[str(name)] = None if index is None else tensors[index]
    module._non_persistent_buffers_set = set(entry["buffers"]) - set(entry["lasting"])
    for name, index in entry["modules"].items():
        if hasattr(cls, name):
            raise ValueError(f"a module {name!r} would hide an attribute")
        module._modules[str(name)] = None if index is None else modules[index]
    module.training = bool(entry["training"])
    return module


def _may_hold(cls: type, name: str) -> bool:
    """Return whether a file may set an attribute of a class of modules.

    For a trusted class any name is allowed that the class does not define itself; for a layer of torch only the names
    of its own attributes.
    """
    if not name.isidentifier() or name.startswith("__") or name in _BASE or hasattr(cls, name):
        return False
    is_layer = cls.__name__ in LAYERS and getattr(nn, cls.__name__) is cls
    return not is_layer or name in _OTHER_ATTRIBUTES or name in signature(cls).parameters


def _find_class(name: str, class_of: Callable[[str], type | None]) -> type:
    found = _find(name, class_of)
    if not isinstance(found, type):
        raise ValueError(f"{name!r} is not a class")
    return found


def _find(name: str, class_of: Callable[[str], type | None]) -> Any:
    """Return the class or function of a name if it is harmless (torch's own) or trusted, else None."""
    if name in _FUNCTIONS:
        return _FUNCTIONS[name]
    package, _, last = str(name).rpartition(".")
    return getattr(nn, last) if package == "torch.nn" and last in LAYERS else class_of(name)


def _refuse_classes(names: list[str], why: str) -> ModelFileError:
    return ModelFileError(
        f"The model file holds torch modules of the classes {names}, and {why}. If you know them and trust their code, "
        f"name them: {how_to_trust(*names)}."
    )


def _name_of(value: Any) -> str | None:
    """Return the name of a class or known function, else None."""
    if isinstance(value, type):
        is_layer = value.__name__ in LAYERS and getattr(nn, value.__name__) is value
        return f"torch.nn.{value.__name__}" if is_layer else f"{value.__module__}.{value.__qualname__}"
    return next((name for name, function in _FUNCTIONS.items() if value is function), None)


def _to_plain(value: Any, path: str) -> Any:
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, torch.Size) or type(value) in (tuple, list):
        parts = [_to_plain(part, path) for part in value]
        return parts if type(value) is list else tuple(parts)
    if type(value) is dict and all(type(key) in (str, int) for key in value):
        return {key: _to_plain(part, path) for key, part in value.items()}
    kind = "a tensor that is neither parameter nor buffer" if isinstance(value, Tensor) else f"a {type(value).__name__}"
    raise ModelFileError(f"{path} of TorchEncoder is {kind}, which cannot be stored in a model file. {_ADVICE}")


def _to_array(tensor: Tensor) -> np.ndarray:
    on_host = tensor.detach().cpu()
    array: np.ndarray = (on_host.view(torch.int16) if on_host.dtype == torch.bfloat16 else on_host).numpy()
    return array


def _make_tensor(array: np.ndarray, dtype: str) -> Tensor:
    tensor = to_tensor(array, torch.device("cpu")).reshape(array.shape)
    if dtype == "bfloat16" and array.dtype == np.int16:
        return tensor.view(torch.bfloat16)
    if str(tensor.dtype) != f"torch.{dtype}":
        raise ValueError(f"{array.dtype} is not {dtype}")
    return tensor


class _PickledCall:
    """An object that unpickles as the result of a function call."""

    def __init__(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call


def _to_pickled_call(tensor: Tensor) -> _PickledCall:
    dtype = str(tensor.dtype).removeprefix("torch.")
    return _PickledCall(
        _unpickle_tensor, (_to_array(tensor), dtype, isinstance(tensor, nn.Parameter), tensor.requires_grad)
    )


def _unpickle_tensor(array: np.ndarray, dtype: str, is_parameter: bool, learns: bool) -> Tensor:
    tensor = _make_tensor(array, dtype)
    return nn.Parameter(tensor, requires_grad=learns) if is_parameter else tensor


def _dump_program(program: Any) -> bytes:
    archive = io.BytesIO()
    torch.export.save(program, archive)
    return archive.getvalue()


def _load_program(archive: bytes) -> Any:
    return torch.export.load(io.BytesIO(archive))
