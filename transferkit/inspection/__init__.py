"""Why a prediction, and how much transfer helped."""

from transferkit.inspection._domain_gap import DomainGap, DomainGapDisplay, domain_gap
from transferkit.inspection._embedding_map import EmbeddingMapDisplay
from transferkit.inspection._explain import explain, top_terms
from transferkit.inspection._explanation import Explanation
from transferkit.inspection._transfer_curve import TransferCurveDisplay

__all__ = [
    "DomainGap",
    "DomainGapDisplay",
    "EmbeddingMapDisplay",
    "Explanation",
    "TransferCurveDisplay",
    "domain_gap",
    "explain",
    "top_terms",
]
