"""Fits of word vectors by a pass over a corpus in shards."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from transferkit.encoders.words._counts import Bounds, WordCounts

__all__ = ["WordPass"]


@dataclass(frozen=True)
class WordPass:
    """Counts words and their co-occurrences for a WordVectorEncoder."""

    count: Callable[[WordCounts, Any], WordCounts]  # returns the counts with those of texts added
    bounds: Bounds
    finish: Callable[[WordCounts], Any]  # returns the encoder with the vectors that follow from the counts

    def add(self, total, X, shard_number):
        """Return the counts plus those of more texts."""
        return self.count(WordCounts() if total is None else total, X)

    def merge(self, left, right):
        """Return the counts of both."""
        return left.merge(right, self.bounds)
