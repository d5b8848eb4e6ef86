"""The loader: which samples make a batch is a pure function of seed and step, so a resumed run sees what it would have seen."""

from __future__ import annotations

import threading
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from kinema.core.errors import InvalidInput
from kinema.core.geometry import Bucket
from kinema.data.load.seeds import derive_seed, generator
from kinema.data.load.shards import ShardSet

# Buckets take turns within blocks of this many steps, each in exact proportion to its share.
_BLOCK = 64


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Samples of one bucket: stacked ``tensors``, ``metadata`` and a seed for each sample's random choices."""

    step: int
    bucket: Bucket
    numbers: tuple[int, ...]
    tensors: Mapping[str, Tensor]
    metadata: Sequence[Mapping[str, Any]]
    seeds: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.numbers)


def batch_sizes(counts: Mapping[Bucket, int], *, tokens: int, tokens_of: Mapping[Bucket, int]) -> dict[Bucket, int]:
    """Batch size per bucket so that a batch holds about ``tokens`` tokens; at least one sample, and not more than there are."""
    return {b: min(count, max(1, round(tokens / tokens_of[b]))) for b, count in counts.items()}


class Loader:
    """Batches of a shard set. Within a bucket no sample comes again before all others have come (the last partial batch is left out).

    Args:
        sizes: batch size per bucket; buckets that are not named are not drawn from.
        shares: how often each bucket is drawn, relative to the others; by default as often as its samples ask for.
    """

    def __init__(
        self,
        shards: ShardSet,
        *,
        sizes: Mapping[Bucket, int],
        seed: int,
        shares: Mapping[Bucket, float] | None = None,
        pin: bool = False,
    ) -> None:
        self.shards, self.seed, self.pin = shards, seed, pin
        self.sizes = {b: sizes[b] for b in sorted(sizes)}
        counts = shards.buckets
        for bucket, size in self.sizes.items():
            if not 1 <= size <= counts.get(bucket, 0):
                raise InvalidInput(
                    "batch size", size, f"bucket {bucket} has {counts.get(bucket, 0)} samples in {shards.path}"
                )
        if not self.sizes:
            raise InvalidInput("sizes", sizes, "name at least one bucket")
        weights = {b: (shares[b] if shares else counts[b] / n) for b, n in self.sizes.items()}
        self._turns = _turns(weights)
        self._cached_order: dict[Bucket, tuple[int, list[int]]] = {}
        self._lock = threading.Lock()

    def batch(self, step: int) -> Batch:
        """Batch number ``step``: the same, whatever was loaded before."""
        bucket, turn = self._bucket_of(step)
        size = self.sizes[bucket]
        per_epoch = self.shards.buckets[bucket] // size
        epoch, place = divmod(turn, per_epoch)
        numbers = self._order(bucket, epoch)[place * size : (place + 1) * size]
        tensors, metadata = self.shards.read(bucket, numbers)
        if self.pin:
            tensors = {k: v.pin_memory() for k, v in tensors.items()}
        seeds = tuple(derive_seed(self.seed, "sample", step, i) for i in range(size))
        return Batch(step=step, bucket=bucket, numbers=tuple(numbers), tensors=tensors, metadata=metadata, seeds=seeds)

    def from_step(self, step: int, *, ahead: int = 2) -> Generator[Batch, None, None]:
        """Batches ``step``, ``step`` + 1, ... without end, ``ahead`` of them loaded by a background thread."""
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="loader") as pool:
            waiting = [pool.submit(self.batch, step + i) for i in range(ahead)]
            try:
                while True:
                    waiting.append(pool.submit(self.batch, step + len(waiting)))
                    yield waiting.pop(0).result()
                    step += 1
            finally:
                for future in waiting:
                    future.cancel()

    def _bucket_of(self, step: int) -> tuple[Bucket, int]:
        """The bucket of ``step``, and how many earlier steps had it."""
        block, place = divmod(step, len(self._turns))
        order = torch.randperm(len(self._turns), generator=generator(self.seed, "turns", block)).tolist()
        turns = [self._turns[i] for i in order]
        bucket = turns[place]
        return bucket, block * self._turns.count(bucket) + turns[:place].count(bucket)

    def _order(self, bucket: Bucket, epoch: int) -> list[int]:
        with self._lock:
            cached = self._cached_order.get(bucket)
            if cached is None or cached[0] != epoch:
                rng = generator(self.seed, "order", str(bucket), epoch)
                cached = (epoch, torch.randperm(self.shards.buckets[bucket], generator=rng).tolist())
                self._cached_order[bucket] = cached
            return cached[1]


def _turns(weights: Mapping[Bucket, float]) -> list[Bucket]:
    """A block of turns: each bucket at least once and otherwise in proportion to its weight (largest remainder)."""
    if any(not w > 0 for w in weights.values()):
        raise InvalidInput("shares", dict(weights), "must be above zero")
    if len(weights) == 1:
        return list(weights)
    total = sum(weights.values())
    exact = {b: _BLOCK * w / total for b, w in weights.items()}
    turns = {b: max(1, int(x)) for b, x in exact.items()}
    for bucket in sorted(exact, key=lambda b: int(exact[b]) - exact[b])[: max(0, _BLOCK - sum(turns.values()))]:
        turns[bucket] += 1
    return [b for b, n in turns.items() for _ in range(n)]
