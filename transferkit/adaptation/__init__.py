"""Unsupervised domain adaptation: labels from a source domain, used for data from a target domain.

Every adaptation is a transformer of features that also takes ``sample_domain``: one number per row, positive for the
source and negative for the target, as in skada. It is applied between the encoder and the head. `fit_transform` maps
rows of both domains for training; for prediction, `transform` maps rows of the target, unless `sample_domain` is given.

Moment matching maps source rows to the mean and covariance of the target and leaves target rows unchanged: `CORAL`
whitens and re-colours, `LinearTransport` is the optimal-transport map between Gaussians. `SubspaceAlignment` projects
both domains on principal axes and aligns these. All three are for dense features, and assume that the classes have the
same proportions in both domains; `class_proportions` of the first two lifts this.

`JointDistributionAdaptation` projects both domains so that each class has close means in them, with estimated labels
(*pseudo-labels*) of the target: it needs labels of the source, and no equal proportions.

`ImportanceWeighting` leaves all features unchanged and estimates density ratios for the `sample_weight` of a head:
for covariate shift, where the label depends on the features in the same way in both domains. `LabelShiftWeighting` does
the same for label shift, where the features depend on the label in the same way, by the proportions of the classes.
`DomainWeighting` gives each of several source domains one weight.

`StructuralCorrespondence` and `MarginalizedDenoising` learn from co-occurrences of features in both domains that
features of one domain resemble features of the other: for term counts and TF-IDF.

`FeatureAugmentation` is the only supervised one: it needs a few labelled rows of the target.

Modules: `_base` has the base class, `_source_weighting` that of the three that give weights, `_held_out` the
classifiers that two of these use, `_moment_matching` CORAL and LinearTransport, `_feature_prediction` the two that
learn from co-occurrences; `domains` handles samples of two domains in any container; `protocols` declares the
interfaces that other packages use. The mathematics is in ``_algorithms.domains``.
"""

from typing import TYPE_CHECKING

from transferkit._lazy import import_when_asked

if TYPE_CHECKING:  # editors and type checkers do not follow __getattr__
    from transferkit.adaptation._domain_weighting import DomainWeighting
    from transferkit.adaptation._feature_augmentation import FeatureAugmentation
    from transferkit.adaptation._feature_prediction import MarginalizedDenoising, StructuralCorrespondence
    from transferkit.adaptation._importance_weighting import ImportanceWeighting
    from transferkit.adaptation._joint_distributions import JointDistributionAdaptation
    from transferkit.adaptation._label_shift_weighting import LabelShiftWeighting
    from transferkit.adaptation._moment_matching import CORAL, LinearTransport
    from transferkit.adaptation._subspace_alignment import SubspaceAlignment

__getattr__, __dir__ = import_when_asked(
    __name__,
    {
        "CORAL": "._moment_matching",
        "DomainWeighting": "._domain_weighting",
        "FeatureAugmentation": "._feature_augmentation",
        "ImportanceWeighting": "._importance_weighting",
        "JointDistributionAdaptation": "._joint_distributions",
        "LabelShiftWeighting": "._label_shift_weighting",
        "LinearTransport": "._moment_matching",
        "MarginalizedDenoising": "._feature_prediction",
        "StructuralCorrespondence": "._feature_prediction",
        "SubspaceAlignment": "._subspace_alignment",
    },
)

__all__ = [
    "CORAL",
    "DomainWeighting",
    "FeatureAugmentation",
    "ImportanceWeighting",
    "JointDistributionAdaptation",
    "LabelShiftWeighting",
    "LinearTransport",
    "MarginalizedDenoising",
    "StructuralCorrespondence",
    "SubspaceAlignment",
]
