"""Data sets: `load` holds the shard format and the loader; `curate` will turn footage into shards."""
