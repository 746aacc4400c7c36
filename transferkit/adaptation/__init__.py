"""Adaptation: labels from one domain used on data from another."""

from transferkit.adaptation._coral import CORAL
from transferkit.adaptation._feature_augmentation import FeatureAugmentation
from transferkit.adaptation._importance_weighting import ImportanceWeighting
from transferkit.adaptation._linear_transport import LinearTransport
from transferkit.adaptation._marginalized_denoising import MarginalizedDenoising
from transferkit.adaptation._structural_correspondence import StructuralCorrespondence
from transferkit.adaptation._subspace_alignment import SubspaceAlignment

__all__ = [
    "CORAL",
    "FeatureAugmentation",
    "ImportanceWeighting",
    "LinearTransport",
    "MarginalizedDenoising",
    "StructuralCorrespondence",
    "SubspaceAlignment",
]
