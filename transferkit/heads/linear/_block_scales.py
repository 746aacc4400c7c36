"""Strengths of the penalty that differ between blocks of features."""

import numpy as np

from transferkit._algorithms.linear.feature_blocks import FeatureBlocks


def read_block_scales(head, X, scales):
    """Return the scales of X's blocks as a tuple of floats, or None where there are none."""
    if scales is None:
        return None
    if not isinstance(X, FeatureBlocks):
        raise ValueError(
            f"block_scales of {type(head).__name__} needs features in blocks: FeatureBlocks(first, second). "
            f"Got {type(X).__name__} for X."
        )
    values = np.asarray(scales, dtype=np.float64)
    valid = values.shape == (len(X.blocks),) and np.isfinite(values).all() and (values >= 0).all() and values.any()
    if not valid:
        raise ValueError(
            f"Each block of X needs one finite scale, not negative and not all zero. Got {scales!r} for "
            f"{len(X.blocks)} blocks."
        )
    return tuple(values.tolist())


def read_scale_candidates(head, X, candidates):
    """Return candidates for the scales as a list of tuples, or None where there are none."""
    if candidates is None:
        return None
    if len(candidates) == 0:
        raise ValueError("block_scales must hold at least one candidate. Got an empty list.")
    return [read_block_scales(head, X, scales) for scales in candidates]
