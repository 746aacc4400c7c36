"""Fitting encoders to, and encoding, corpora in shards: on a Dask cluster, or with joblib on one machine.

A *shard* (`_shards`) is a part of a corpus with a name and a place in it: a file, a partition of a Dask collection, a
collection in memory, or a function that returns one. Workers read shards; the client does not.

A *task* (`_map_reduce`) is map-reduce over the shards: it adds up statistics of one shard after the other, merges two
statistics into one, and finishes with a result, which may be the next task. `run_tasks` runs a task and those that
follow from it. It counts shards and rows, so that none is missing silently, and leaves out bad shards or raises.

A *runner* spreads a task over workers. Groups of shards are reduced one shard after the other; the partial
results are merged pairwise, in a balanced binary tree, as they arrive, so that few of them exist at a time. With joblib
they are merged in this process, with Dask on the workers.

`fit_sharded` (`_fitting`) asks an encoder for its passes over the corpus (`transferkit.encoders.protocols.ShardPass`)
and runs each as a task; it does not know the statistics of any encoder. Estimators with `partial_fit` and `merge` are
fitted in one pass.

`encode_sharded` and `predict_sharded` (`_encoding`) run one task that writes a parquet file per shard. Each
file names the model and the shard that it was made from, so that a repeated run makes only the missing ones.
"""

from transferkit.distributed._encoding import encode_sharded, predict_sharded
from transferkit.distributed._fitting import fit_sharded

__all__ = ["encode_sharded", "fit_sharded", "predict_sharded"]
