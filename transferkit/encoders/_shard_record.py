"""The attributes that say which shards an encoder was fitted on."""

__all__ = ["forget_shards"]


def forget_shards(encoder):
    """Remove the attributes that :func:`transferkit.distributed.fit_sharded` set in an earlier fit."""
    for name in ("n_shards_", "skipped_shards_"):
        vars(encoder).pop(name, None)
