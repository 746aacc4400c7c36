"""Encoders of feature vectors by clusters of unlabelled ones.

A *sample* is a row of numbers: a feature vector, or the pixels of an image. A *centre* is the mean of a cluster, or the
weight vector of a unit of a map. The *codebook* is the set of all centres. An *activation* is a feature computed from
the distances of a sample to the centres: "triangle", "distance", "soft" or "onehot".

:class:`KMeansEncoder` (`_kmeans`) finds centres by k-means, at once, in batches (`partial_fit`), from other encoders
(`merge`), or by passes over a data set in shards (`_passes`). Use it by default.

:class:`SOMEncoder` (`_som`) fits a self-organising map, whose centres lie on a grid where neighbours are similar. Use
it to look at data, or where features should be two coordinates.

k-means runs on torch (`transferkit._training.clustering`); distances, activations, patches, whitening and maps on NumPy
(`transferkit._algorithms.rows`), so that `transform` needs no torch.
"""

from typing import TYPE_CHECKING

from transferkit._lazy import import_when_asked

if TYPE_CHECKING:  # editors and type checkers do not follow __getattr__
    from transferkit.encoders.rows._kmeans import KMeansEncoder
    from transferkit.encoders.rows._som import SOMEncoder

__getattr__, __dir__ = import_when_asked(__name__, {"KMeansEncoder": "._kmeans", "SOMEncoder": "._som"})

__all__ = ["KMeansEncoder", "SOMEncoder"]
