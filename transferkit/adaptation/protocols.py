"""Contracts between adaptations and the packages that use them."""

from typing import Any, Protocol, runtime_checkable

import numpy as np

__all__ = ["GivesWeights", "LinearOnTarget"]


@runtime_checkable
class GivesWeights(Protocol):
    """A fitted adaptation that weights the source samples and leaves their features unchanged."""

    sample_weight_: np.ndarray  # (n_samples,), one for each sample of `fit`, those of the target included


@runtime_checkable
class LinearOnTarget(Protocol):
    """A fitted adaptation whose map of target samples is affine, so that `inspection` can explain predictions."""

    def target_map(self) -> tuple[Any, np.ndarray | float]:
        """Return the matrix A and the offset b of the map x -> x A + b of target samples."""
