"""Why a prediction, and how much transfer helped."""

from transferkit.inspection._embedding_map import EmbeddingMapDisplay
from transferkit.inspection._explain import explain, top_terms
from transferkit.inspection._explanation import Explanation
from transferkit.inspection._transfer_curve import TransferCurveDisplay

__all__ = ["EmbeddingMapDisplay", "Explanation", "TransferCurveDisplay", "explain", "top_terms"]
