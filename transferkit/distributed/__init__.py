"""Pretraining and encoding by shards: on a Dask cluster, or with joblib on one machine."""

from transferkit.distributed._encoding import encode_sharded, predict_sharded
from transferkit.distributed._fitting import fit_sharded

__all__ = ["encode_sharded", "fit_sharded", "predict_sharded"]
