"""Fits of text encoders by passes over a corpus in shards."""

from dataclasses import dataclass, replace
from typing import Any

from sklearn.utils import check_random_state

from transferkit._algorithms.linalg.truncated_svd import N_SPARE, RightVectors, SubspaceIteration, draw_start

__all__ = ["TermPass", "VocabularyPass"]


@dataclass(frozen=True)
class TermPass:
    """Counts the terms of texts for a TfidfEncoder."""

    encoder: Any  # TfidfEncoder, not fitted
    keep_statistics: bool

    def add(self, total, X, shard_number):
        """Return the term statistics plus those of more texts."""
        counted = self.encoder.count_terms(X)
        return counted if total is None else self.merge(total, counted)

    def merge(self, left, right):
        """Return the term statistics of both."""
        return left.merge(right, self.encoder.max_vocabulary)

    def finish(self, total):
        """Return the encoder with the columns and weights that follow from the statistics."""
        return self.encoder.set_terms(total, keeps_excluded=self.keep_statistics)


@dataclass(frozen=True)
class VocabularyPass:
    """Counts the terms of texts for an LSAEncoder."""

    encoder: Any  # LSAEncoder, not fitted
    terms: TermPass

    def add(self, total, X, shard_number):
        """Return the term statistics plus those of more texts."""
        return self.terms.add(total, X, shard_number)

    def merge(self, left, right):
        """Return the term statistics of both."""
        return self.terms.merge(left, right)

    def finish(self, total):
        """Return the first pass of the singular value decomposition."""
        encoder, tfidf = self.encoder, self.terms.finish(total)
        n_terms = len(tfidf.idf_)
        n_vectors = min(encoder.n_components + N_SPARE, tfidf.n_documents_, n_terms)
        start = draw_start(n_terms, n_vectors, check_random_state(encoder.random_state))
        return _SubspacePass(encoder, tfidf, SubspaceIteration(start, encoder.n_iter))


@dataclass(frozen=True)
class _SubspacePass:
    """Computes the product X'X B of the TF-IDF rows X of all texts and the basis B of a subspace."""

    encoder: Any
    tfidf: Any  # fitted TfidfEncoder
    iteration: SubspaceIteration

    def add(self, total, X, shard_number):
        """Return the product plus that of more texts."""
        rows = self.tfidf.transform(X)
        product = rows.T @ (rows @ self.iteration.basis)
        if total is None:
            return product
        total += product
        return total

    def merge(self, left, right):
        """Return the sum of two products."""
        return left + right

    def finish(self, total):
        """Return the pass of the next step of the iteration, or the fitted encoder."""
        following = self.iteration.advance(total)
        if isinstance(following, RightVectors):
            return self.encoder.set_vectors(self.tfidf, following)
        return replace(self, iteration=following)
