"""What an encoder knows of the shards that it was fitted on."""

# Set by transferkit.distributed.fit_sharded; in the namespace of an encoder's module it lets model files hold them.
SHARD_RECORD = ("n_shards_", "skipped_shards_")


def forget_shards(encoder):
    """Take the record of an earlier fit away."""
    for name in SHARD_RECORD:
        vars(encoder).pop(name, None)
