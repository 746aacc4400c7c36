"""What an encoder knows of the shards that it was fitted on."""


class ShardRecordMixin:
    """The attributes that :func:`transferkit.distributed.fit_sharded` sets and `fit` takes away."""

    def _forget_shards(self):
        for name in ("n_shards_", "skipped_shards_"):
            vars(self).pop(name, None)
