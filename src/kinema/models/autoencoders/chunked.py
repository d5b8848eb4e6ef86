"""The published autoencoder over chunks of frames: exact, although its group norms span the whole clip.

Legend: b batch, c channels, t frames, h height, w width. A *state* is what passes from step to step for a chunk of frames:
a video, and the shortcut that waits to be added to it. A *unit* is a clip at the finest level: its channels x pixels.

A group norm's statistics need every frame of its input, so the network is cut before every norm into *steps*. A step is causal:
once its norm's statistics are known it runs chunk after chunk with a stream, as a network without such norms runs as a whole.
What lies before a norm is run for the statistics, and its states are kept until the next step reads them, chunk by chunk. Those
that wait are one norm's input and shortcut, 2 units: they grow with the clip. Where they wait is the caller's choice, a `Shelf`.
Elsewhere than in memory, what is left to grow are keys and values of the middle's attention (4/3 of the values of the output).

`run_at_once` keeps nothing: every norm uses the statistics of the chunks so far. That is one pass, in constant memory, while chunks
come, and approximate: on random weights 30 to 41 dB (peak to peak) from the exact frames for latents that keep their spread over 17
latent frames, 26 dB where it quadruples. The reference's temporal tiles are 20 to 25 dB away on the same clips. Trained weights may
differ.

Chunks of rows or columns would be exact only where states are kept whole (convolutions read a pixel beyond, attention all
pixels), and would save a part of one chunk there; so there are none.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeVar

import torch
from torch import Tensor, nn

from kinema.models.autoencoders.blocks import (
    FrameCausalAttention,
    MidBlock,
    RepeatUpsample,
    ResidualBlock,
    StridedDownsample,
)
from kinema.models.autoencoders.lean import Affine, FoldedUpsample, Moments, convolve, normed
from kinema.models.autoencoders.work import OnWork, Work, ignore_work
from kinema.models.layers.causal_conv import CausalConv3d, Stream, Video

if TYPE_CHECKING:
    from kinema.models.autoencoders.video import VideoAutoencoder

State = tuple[Video, Video | None]
# The state after a step, of the one before it, what the step's norm does, and the stream of this pass.
Run = Callable[[State, Affine | None, Stream], State]

# Values of a state that a step works on at a time. More gain no speed on a CPU; a GPU wants more to do at once.
_CPU_VALUES, _VALUES = 2**22, 2**26


@dataclass(frozen=True, kw_only=True)
class Step:
    """What happens between two norms' statistics.

    Attributes:
        norm: the norm whose statistics the step's input needs, if it begins with one.
        growth: values that come of one.
        factor: how many frames come of one, but of the clip's first, and how many rows, and columns, of one.
        work: about how many products a pixel of a frame takes.
        multiple: frames come in multiples of it; if it isn't 1, then after the clip's first, which comes alone.
    """

    run: Run
    work: float
    norm: nn.GroupNorm | None = None
    growth: float = 1
    factor: tuple[int, int] = (1, 1)
    multiple: int = 1


class Shelf(Protocol):
    """States in the order they came, each of which leaves once."""

    def put(self, state: State) -> None:
        """Adds ``state`` at the end."""
        ...

    def drained(self) -> Iterator[State]:
        """All states, from the first, with the same bits and strides."""
        ...


class MemoryShelf:
    """States as they are."""

    def __init__(self) -> None:
        self._states = deque[State]()

    def put(self, state: State) -> None:
        """Adds ``state`` at the end."""
        self._states.append(state)

    def drained(self) -> Iterator[State]:
        """All states, from the first."""
        while self._states:
            yield self._states.popleft()


def decode(
    model: VideoAutoencoder,
    latents: Video,
    *,
    make_shelf: Callable[[], Shelf] = MemoryShelf,
    on_work: OnWork = ignore_work,
) -> Iterator[Video]:
    """Pixels of ``latents`` in chunks; see `run`."""
    num_frames, pixels, total = latents.shape[2], latents[:, 0, 0].numel(), 0.0
    # attention sees its own frame and all before
    seen = latents[0, 0, 0].numel() * (num_frames + 1) / 2
    for step in decoder_steps(model, seen):
        total += step.work * num_frames * pixels
        time, space = step.factor
        num_frames, pixels = 1 + (num_frames - 1) * time, pixels * space**2
    return run(decoder_steps(model, seen), [latents], make_shelf=make_shelf, work=Work(total, on_work))


def run(
    steps: Iterable[Step],
    chunks: Iterable[Video],
    *,
    make_shelf: Callable[[], Shelf] = MemoryShelf,
    work: Work | None = None,
) -> Iterator[Video]:
    """What the steps make of a clip, in chunks; the first comes after all statistics.

    Args:
        make_shelf: gives what a norm's input waits on; two are in use at a time.
        work: told of the steps' work.
    """
    states: Iterator[State] = ((chunk, None) for chunk in chunks)
    pending: list[_Known] = []
    for step in steps:
        affine = None
        if step.norm is not None:
            moments, shelf = Moments(), make_shelf()
            for state in _passed(pending, states, work):
                moments.add(state[0])
                shelf.put(state)
                # the next is made while this name stands
                del state
            states, pending = shelf.drained(), []
            affine = moments.affine(step.norm)
        pending.append((step, affine))
    for result, _ in _passed(pending, states, work):
        yield result


def run_at_once(steps: Iterable[Step], chunks: Iterable[Video]) -> Iterator[Video]:
    """About what `run` makes of the clip, chunk after chunk, with the statistics of what came so far.

    Only for steps that take any number of frames.
    """
    for result, _ in _passed([(step, None) for step in steps], ((chunk, None) for chunk in chunks)):
        yield result


# A step, and what its norm does: None before its statistics are known.
_Known = tuple[Step, Affine | None]


def _passed(steps: list[_Known], states: Iterator[State], work: Work | None = None) -> Iterator[State]:
    for step, affine in steps:
        states = _stepped(step, affine, states, work)
    return states


def _stepped(step: Step, affine: Affine | None, states: Iterator[State], work: Work | None) -> Iterator[State]:
    stream, moments = Stream(), Moments()
    for state in states:
        parts = _parts(step, state)
        # Every step of the chain waits here for the next: what it still named would be held.
        del state
        while parts:
            places = parts[0][0][:, 0].numel()
            results = [_advanced(step, affine, parts.popleft(), stream, moments)]
            stream.end_chunk()
            if work is not None:
                work.add(step.work * places)
            yield results.pop()


@torch.no_grad()
def _advanced(step: Step, affine: Affine | None, part: State, stream: Stream, moments: Moments) -> State:
    if step.norm is not None and affine is None:
        moments.add(part[0])
        affine = moments.affine(step.norm)
    return step.run(part, affine, stream)


def _parts(step: Step, state: State) -> deque[State]:
    """The state in parts, so that a step works on few values at a time."""
    video, shortcut = state
    values = _CPU_VALUES if video.device.type == "cpu" else _VALUES
    groups = values // int(video[:, :, :1].numel() * step.growth * step.multiple)
    num_frames = max(1, groups) * step.multiple
    shortcuts = [None] * video.shape[2] if shortcut is None else shortcut.split(num_frames, dim=2)
    return deque(zip(video.split(num_frames, dim=2), shortcuts, strict=False))


def decoder_steps(model: VideoAutoencoder, seen: float = 0.0) -> Iterator[Step]:
    """The steps from latents to pixels, made one by one: some hold folded weights.

    Args:
        seen: how many pixels one of the middle's attention sees in the mean, for the steps' ``work``.
    """
    decoder = model.decoder
    yield _enter(decoder.conv_in, model.post_quant_conv)
    yield from _middle(decoder.mid_block, seen)
    for layer in _layers(decoder.up_blocks):
        if isinstance(layer, ResidualBlock):
            yield from _residual(layer)
            continue
        upsample = _as(RepeatUpsample, layer)
        conv, (r, s) = _as(CausalConv3d, upsample.conv), upsample.factor
        folded = _alone(FoldedUpsample(conv, upsample.factor))
        # 2 of 3 taps are left along each axis that doubles
        work = conv.conv.weight.numel() * r * s * s * (2 / 3) ** (r + 2 * s - 3)
        yield Step(run=folded, work=work, growth=r * s * s, factor=(r, s))
    yield from _leave(decoder.conv_norm_out, decoder.conv_out, None)


def encoder_steps(model: VideoAutoencoder) -> Iterator[Step]:
    """The steps from pixels to the latents' moments; the first frame comes as a chunk of its own."""
    encoder, multiple = model.encoder, model.config.time_compression
    yield _enter(encoder.conv_in, None, multiple)
    for layer in _layers(encoder.down_blocks):
        if isinstance(layer, ResidualBlock):
            yield from _residual(layer, multiple)
            continue
        conv = _as(StridedDownsample, layer).conv
        yield Step(run=_alone(partial(convolve, conv)), work=_work(conv), multiple=multiple)
        multiple //= conv.conv.stride[0]
    yield from _middle(encoder.mid_block)
    yield from _leave(encoder.conv_norm_out, encoder.conv_out, model.quant_conv)


def _layers(blocks: nn.ModuleList) -> Iterator[nn.Module]:
    """Residual blocks and changes of resolution, level by level."""
    for block in blocks:
        for layers in block.children():
            yield from layers.children()


def _middle(block: MidBlock, seen: float = 0.0) -> Iterator[Step]:
    for i, resnet in enumerate(block.resnets):
        if i and block.attentions:
            attention = _as(FrameCausalAttention, block.attentions[i - 1])
            norm = _as(nn.GroupNorm, attention.group_norm)
            width = norm.num_channels
            yield Step(run=_attend(attention), work=4 * width**2 + 2 * width * seen, norm=norm)
        yield from _residual(_as(ResidualBlock, resnet))


def _residual(block: ResidualBlock, multiple: int = 1) -> Iterator[Step]:
    norm1, norm2 = _as(nn.GroupNorm, block.norm1), _as(nn.GroupNorm, block.norm2)
    conv1, conv2 = _as(CausalConv3d, block.conv1), _as(CausalConv3d, block.conv2)
    widen = None if block.conv_shortcut is None else _as(CausalConv3d, block.conv_shortcut)

    def first(state: State, affine: Affine | None, stream: Stream) -> State:
        x = state[0]
        return convolve(conv1, x, stream, affine), x if widen is None else convolve(widen, x, stream)

    def second(state: State, affine: Affine | None, stream: Stream) -> State:
        x, shortcut = state
        assert shortcut is not None
        return convolve(conv2, x, stream, affine).add_(shortcut), None

    work = _work(conv1) + (0 if widen is None else _work(widen))
    yield Step(run=first, work=work, norm=norm1, multiple=multiple)
    yield Step(run=second, work=_work(conv2), norm=norm2, multiple=multiple)


def _attend(attention: FrameCausalAttention) -> Run:
    def attend(state: State, affine: Affine | None, stream: Stream) -> State:
        assert affine is not None
        return state[0] + attention.read(normed(state[0], affine), stream), None

    return attend


def _alone(layer: Callable[[Tensor, Stream], Tensor]) -> Run:
    return lambda state, _, stream: (layer(state[0], stream), None)


def _enter(conv: nn.Module, before: nn.Conv3d | None, multiple: int = 1) -> Step:
    causal = _as(CausalConv3d, conv)
    enter = _alone(lambda x, stream: convolve(causal, x if before is None else before(x), stream))
    layer = causal.conv
    return Step(run=enter, work=_work(causal), growth=layer.out_channels / layer.in_channels, multiple=multiple)


def _leave(norm: nn.Module | None, conv: nn.Module, after: nn.Conv3d | None) -> Iterator[Step]:
    norm, causal = _as(nn.GroupNorm, norm), _as(CausalConv3d, conv)

    def leave(state: State, affine: Affine | None, stream: Stream) -> State:
        x = convolve(causal, state[0], stream, affine)
        return x if after is None else after(x), None

    yield Step(run=leave, work=_work(causal), norm=norm)


def _work(conv: CausalConv3d) -> int:
    return conv.conv.weight.numel()


_Kind = TypeVar("_Kind")


def _as(kind: type[_Kind], module: object) -> _Kind:
    """``module``, which the published layout makes one of ``kind``."""
    assert isinstance(module, kind)
    return module
