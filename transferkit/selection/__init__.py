"""Which pretrained encoder suits a task."""

from transferkit.selection._rank_encoders import rank_encoders

__all__ = ["rank_encoders"]
