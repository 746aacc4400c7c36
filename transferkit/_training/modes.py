"""Torch's modes as training needs them, whatever the caller has switched on."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch

__all__ = ["with_own_modes"]


@contextmanager
def with_own_modes() -> Iterator[None]:
    """Switch off the caller's inference mode, automatic casts and default device; also a decorator.

    In inference mode nothing is learned by differentiation, and its tensors cannot be changed later. Under autocast
    products come back in half precision. Tensors for which no device is named belong on the CPU. Not for generators,
    whose caller would see the modes between two items.
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
