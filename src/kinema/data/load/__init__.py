"""The shard format (`shards`) and the loader that is a pure function of seed and step (`loader`)."""
