"""Contracts between encoders and the packages that use them, beyond scikit-learn's API."""

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

if TYPE_CHECKING:
    from transferkit.encoders.text._tfidf import TfidfEncoder

__all__ = [
    "EncodesForHead",
    "FineTunable",
    "FitsInPasses",
    "LinearForm",
    "LinearInTerms",
    "ModelParts",
    "ProjectsTerms",
    "ShardPass",
    "TermProjection",
]


class LinearForm(NamedTuple):
    """A text encoder as a linear map of the terms of a text.

    Features are computed from a row of `vectorizer` in this order: multiply each term by its weight; divide the row by
    its sum, if it is averaged; multiply by the projection; subtract the component along the removed direction; divide
    by the norm.
    """

    vectorizer: "TfidfEncoder"  # fitted: one column per term
    weights: np.ndarray | None = None  # (n_terms,), None for ones
    averages: bool = False
    projection: np.ndarray | None = None  # (n_terms, n_features), None for the identity
    removed: np.ndarray | None = None  # (n_features,), a unit vector
    norm: str | None = None  # 'l2', or None to leave the features as they are


@runtime_checkable
class LinearInTerms(Protocol):
    """A text encoder whose features are linear in the terms of a text, except for their norm."""

    def as_linear(self) -> LinearForm:
        """Return the fitted encoder as a linear map of terms.

        Raises
        ------
        NotLinearError
            If its parameters make it non-linear. The message names them.
        """
        ...


class TermProjection(NamedTuple):
    """One vector per term: rows of term weights times `vectors` are features of texts, before any normalisation."""

    words: "TfidfEncoder"  # fitted; its columns are the rows of `vectors`
    vectors: np.ndarray  # (n_terms, n_components)
    idf: np.ndarray  # (n_terms,), inverse document frequencies in the unlabelled texts


@runtime_checkable
class ProjectsTerms(Protocol):
    """A text encoder with one vector per term, from which models of the terms themselves can start."""

    def term_projection(self) -> TermProjection:
        """Return the vectors of the terms of the fitted encoder."""
        ...


class ModelParts(NamedTuple):
    """A fitted model in two parts: features of samples, and the estimator that predicts from them."""

    head: Any
    features: Any  # (n_samples, n_features)
    encoder: Any = None  # transformer of raw input; None if the head takes raw input
    encoded: Any = None  # what the encoder returned, which are the features unless they were adapted


@runtime_checkable
class EncodesForHead(Protocol):
    """A model of an encoder and a head, which predicts from the features that the encoder returns."""

    def encode_for_head(self, X: Any) -> ModelParts:
        """Return the head, and the features of raw input for it."""
        ...


@runtime_checkable
class FineTunable(Protocol):
    """An encoder that is a network, so that it can be trained together with a head.

    The layers are those of `transferkit._algorithms.networks.layers`.
    """

    def can_fine_tune(self, quickly: bool = False) -> bool:
        """Return whether the encoder is a network as its parameters are set.

        With `quickly` also require that training takes so little time that it is worth a try.
        """
        ...

    def to_network(self, X: Any) -> tuple[Any, list[Any]]:
        """Return the input of the network (array or CSR matrix, float32) for raw input X, and its layers.

        The output of the last layer is the output of the encoder.
        """
        ...

    def with_layers(self, layers: list[Any]) -> "FineTunable":
        """Return a copy of the encoder with other layers of the same shapes."""
        ...


@runtime_checkable
class ShardPass(Protocol):
    """One pass over a corpus in shards: statistics of each shard, their sum, and what follows from the sum.

    A pass holds everything that its methods need, so that it can be pickled and sent to workers. Statistics can be
    pickled, too.
    """

    def add(self, total: Any, X: Any, shard_number: int) -> Any:
        """Return the statistics `total` (None at the start) plus those of the rows or texts `X` of a shard.

        The call may change `total`, unless it raises. `shard_number` is the position of the shard in the corpus.
        """
        ...

    def merge(self, left: Any, right: Any) -> Any:
        """Return the sum of two statistics as a new object, because a cluster may run a merge twice."""
        ...

    def finish(self, total: Any) -> Any:
        """Return the next pass, or after the last one the fitted encoder."""
        ...


@runtime_checkable
class FitsInPasses(Protocol):
    """An encoder that is fitted to a corpus in shards by one or more passes over them."""

    def first_pass(self, keep_statistics: bool = False) -> ShardPass:
        """Return the first pass of a fit, after checking the parameters.

        With `keep_statistics` the fitted encoder keeps the statistics that `partial_fit` and `merge` need.
        """
        ...
