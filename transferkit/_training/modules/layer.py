"""The features of a torch module as the first layer of a network."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from transferkit._training.modules.features import ModuleFeatures

__all__ = ["ModuleLayer"]


@dataclass(eq=False, slots=True)
class ModuleLayer:
    """The output of a torch module, or of one of its layers.

    Parameters
    ----------
    module : torch.nn.Module
        It is not changed; a copy is trained.
    output : str or None
        Name of the layer; None is the module's own output.
    input_shape : tuple of int
        Shape of one sample in the module.
    batch_size : int
        Number of samples per forward pass if nothing is trained.
    device : str, default="auto"
        Where `predict` computes.
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
