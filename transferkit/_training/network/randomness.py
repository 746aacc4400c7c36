"""Sources of randomness of one training, all from one seed."""

from typing import Any

import numpy as np
import torch

__all__ = ["Randomness"]


class Randomness:
    """Generators that touch no global state.

    Parameters
    ----------
    seed : int
    device : torch.device
    order_on_host : bool
        Whether the order of the rows is needed on the host: sparse rows are cut there.
    """

    def __init__(self, seed: int, device: torch.device, order_on_host: bool) -> None:
        self.order = torch.Generator(torch.device("cpu") if order_on_host else device).manual_seed(seed)
        self.noise = torch.Generator(device).manual_seed(seed + 1)
        self.host = np.random.default_rng(seed)

    def read(self) -> tuple[Any, ...]:
        """Return the state of all generators."""
        return self.order.get_state(), self.noise.get_state(), self.host.bit_generator.state

    def restore(self, states: tuple[Any, ...]) -> None:
        """Go back to a state that `read` returned."""
        order, noise, host = states
        self.order.set_state(order)
        self.noise.set_state(noise)
        self.host.bit_generator.state = host
