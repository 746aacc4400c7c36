"""Protection of training from torch modes that the caller has enabled."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch

__all__ = ["with_own_modes"]


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
