"""Fits of word vectors by a pass over a corpus in shards."""

from dataclasses import dataclass
from typing import Any

from transferkit.encoders.words._counts import WordCounts

__all__ = ["WordPass"]


@dataclass(frozen=True)
class WordPass:
    """Counts words and their co-occurrences for a WordVectorEncoder."""

    encoder: Any  # WordVectorEncoder, not fitted
    keep_statistics: bool

    def add(self, total, X, shard_number):
        """Return the counts plus those of more texts."""
        return self.encoder._count(WordCounts() if total is None else total, X)

    def merge(self, left, right):
        """Return the counts of both."""
        return left.merge(right, self.encoder._bounds())

    def finish(self, total):
        """Return the encoder with the vectors that follow from the counts."""
        kept = total.to_state() if self.keep_statistics else None
        vars(self.encoder).update(self.encoder._learn(total), _counts=kept, _keeps_counts=self.keep_statistics)
        return self.encoder
