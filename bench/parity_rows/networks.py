"""Transformers and autoencoders: diffusers' classes with small random weights, saved as they save them, beside what we load of that."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from parity_rows.measure import BF16, FP32, Row, alone, num_draws, randomise, row
from torch import Tensor

from kinema.accel.offload import apply_offload, drop_block
from kinema.accel.shelf import FileShelf
from kinema.models.autoencoders import chunked
from kinema.models.autoencoders.config import VideoAutoencoderConfig
from kinema.models.autoencoders.tiling import TIME_TILES, Tiles, decode_tiled, decode_wan_tiled, encode_tiled
from kinema.models.autoencoders.video import VideoAutoencoder
from kinema.models.autoencoders.wan_config import WanAutoencoderConfig
from kinema.models.autoencoders.wan_strips import decode_strips
from kinema.models.transformers.config import VideoTransformerConfig
from kinema.models.transformers.ltx_config import LtxTransformerConfig
from kinema.models.transformers.wan_config import WanTransformerConfig
from kinema.weights.build import load_component
from kinema.weights.folder import ModelFolder
from kinema.weights.load import pieces_of
from kinema.weights.stream import BlockReader
from tests.models.autoencoders import published as hunyuan_vae
from tests.models.autoencoders import test_ltx as ltx_vae
from tests.models.autoencoders import test_parity as hunyuan_vae_cases
from tests.models.autoencoders import test_tiling as tiling
from tests.models.autoencoders import test_wan as wan_vae
from tests.models.transformers import test_ltx as ltx
from tests.models.transformers import test_published as hunyuan
from tests.models.transformers import test_wan as wan

Inputs = Mapping[str, Any]
# (network, inputs, the network's dtype) -> outputs
Ask = Callable[[Any, Inputs, torch.dtype], Sequence[Tensor]]
OFFLOADS = ("component", "layers", "disk")


@dataclass(frozen=True, kw_only=True)
class Case:
    """A configuration: what builds the reference's network, and what is put in; every tensor has the batch first."""

    build: Callable[[], Any]
    inputs: Inputs


@dataclass(frozen=True, kw_only=True)
class Network:
    """One row: a network, and how both sides are asked.

    ``prepare`` sets the switches of the reference's network; ``streamed`` and ``tiled`` are other ways to ask ours.
    """

    what: str
    component: str
    cases: Mapping[str, Case]
    theirs: Ask
    ours: Ask
    prepare: Callable[[Any, Inputs], object] = lambda *_: None
    offloads: Sequence[str] = ("component",)
    streamed: Ask | None = None
    tiled: Ask | None = None


def networks() -> Iterator[Network]:
    """All rows."""
    yield Network(
        what="HunyuanVideo transformer",
        component="transformer",
        cases={name: _hunyuan_case(*case) for name, case in hunyuan.CASES.items()},
        theirs=lambda net, given, dtype: [hunyuan.velocity(net, dict(given), dtype)],
        ours=lambda net, given, _: [net(**given)],
        offloads=OFFLOADS,
    )
    yield Network(
        what="Wan transformer",
        component="transformer",
        cases={name: _wan_case(*case) for name, case in wan.CASES.items()},
        theirs=lambda net, given, dtype: [wan.velocity(net, dict(given), dtype)],
        ours=lambda net, given, _: [net(**given)],
        offloads=OFFLOADS,
    )
    yield Network(
        what="LTX-Video transformer",
        component="transformer",
        cases={name: _ltx_case(*case) for name, case in ltx.CASES.items()},
        theirs=lambda net, given, dtype: [ltx.velocity(net, dict(given), dtype)],
        ours=lambda net, given, _: [net(**given)],
        offloads=OFFLOADS,
    )
    for what, inputs, is_hunyuan in (
        ("HunyuanVideo", _hunyuan_vae_cases(), True),
        ("Wan", _wan_vae_cases(), False),
    ):
        yield Network(
            what=f"{what} VAE, encode",
            component="vae",
            cases=inputs["video"],
            prepare=_untiled if is_hunyuan else _as_built,
            theirs=lambda net, given, dtype: _gaussian(net.encode(given["video"].to(dtype)).latent_dist),
            ours=lambda net, given, dtype: net.encode(given["video"].to(dtype)),
            streamed=None if is_hunyuan else _encode_streamed,
            tiled=_encode_in_parts if is_hunyuan else None,
        )
        yield Network(
            what=f"{what} VAE, decode",
            component="vae",
            cases=inputs["latents"],
            prepare=_untiled if is_hunyuan else _as_built,
            theirs=lambda net, given, dtype: [net.decode(given["latents"].to(dtype)).sample],
            ours=lambda net, given, dtype: [net.decode(given["latents"].to(dtype))],
            streamed=_decode_streamed,
            tiled=_decode_in_parts if is_hunyuan else _decode_in_strips,
        )
    ltx_inputs = _ltx_vae_cases()
    yield Network(
        what="LTX-Video VAE, encode",
        component="vae",
        cases=ltx_inputs["video"],
        prepare=_as_published,
        theirs=lambda net, given, dtype: _gaussian(net.encode(given["video"].to(dtype)).latent_dist),
        ours=lambda net, given, dtype: net.encode(given["video"].to(dtype)),
        streamed=_encode_streamed,
    )
    yield Network(
        what="LTX-Video VAE, decode",
        component="vae",
        cases=ltx_inputs["latents"],
        prepare=_as_published,
        theirs=lambda net, given, dtype: [net.decode(given["latents"].to(dtype), given["level"]).sample],
        ours=lambda net, given, dtype: [net.decode(given["latents"].to(dtype), level=given["level"])],
        streamed=lambda net, given, _: [
            torch.cat(list(net.decode_stream(given["latents"], level=given["level"])), dim=2)
        ],
    )
    for axes, in_time_alone in (("time (the reference's default)", True), ("time and space", False)):
        yield Network(
            what=f"HunyuanVideo VAE, blended tiles in {axes}",
            component="vae",
            cases={n: _tiled(*case) for n, case in tiling.CASES.items() if (case[0] == TIME_TILES) == in_time_alone},
            prepare=lambda net, given: _tiles_on(net, given["tiles"]),
            theirs=lambda net, given, dtype: [
                net.decode(given["latents"].to(dtype)).sample,
                *_gaussian(net.encode(given["video"].to(dtype)).latent_dist),
            ],
            ours=lambda net, given, dtype: [
                torch.cat(list(decode_tiled(net, given["latents"].to(dtype), given["tiles"])), dim=2),
                *encode_tiled(net, given["video"].to(dtype), given["tiles"]),
            ],
        )
    yield Network(
        what="Wan VAE, decode in blended tiles",
        component="vae",
        cases={name: _wan_tiled(*case) for name, case in tiling.WAN_CASES.items()},
        prepare=lambda net, given: _wan_tiles_on(net, given["tiles"]),
        theirs=lambda net, given, dtype: [net.decode(given["latents"].to(dtype)).sample],
        ours=lambda net, given, dtype: [
            torch.cat(list(decode_wan_tiled(net, given["latents"].to(dtype), given["tiles"])), dim=2)
        ],
    )


def network_row(network: Network, root: Path) -> Row:
    """Every case with several weights: beside the reference in fp32 and bf16; with the first weights beside itself."""
    with row(network.what, "fp32", "bf16", "batch", "offload") as made:
        for name, case in network.cases.items():
            made.cases.append(name)
            draws, seed = 1, 0
            while seed < draws:
                theirs = randomise(case.build(), seed)
                network.prepare(theirs, case.inputs)
                folder = _saved(root / "network", network.component, theirs)
                ours = load_component(folder, network.component, dtype=FP32)
                exact = network.theirs(theirs, case.inputs, FP32)
                whole = network.ours(ours, case.inputs, FP32)
                made.add("fp32", name, whole, exact)
                # in bf16 as its users load it, which takes a package more than the reference needs otherwise
                wan.as_bf16(theirs, frozenset(theirs._keep_in_fp32_modules or ()))
                half = network.ours(load_component(folder, network.component, dtype=BF16), case.inputs, BF16)
                made.add_half(name, half, network.theirs(theirs, case.inputs, BF16), exact)
                if seed == 0:
                    draws = num_draws(min(output.numel() for output in exact))
                    _itself(made, network, name, folder, ours, whole)
                seed += 1
    return made


def _itself(made: Row, network: Network, name: str, folder: ModelFolder, ours: Any, whole: Sequence[Tensor]) -> None:
    """Ours beside ours: in a batch and alone, with weights that come and go, streamed, in parts."""
    given = network.cases[name].inputs

    def sample(i: int) -> Sequence[Tensor]:
        one = {k: v[i : i + 1] if isinstance(v, Tensor) else v for k, v in given.items()}
        return network.ours(ours, one, FP32)

    if len(whole[0]) > 1:
        for output, part in alone(whole, sample):
            made.add("batch", name, [output], [part])
    for mode in network.offloads:
        made.add("offload", name, _offloaded(network, folder, mode, given), whole)
    with torch.enable_grad():  # in which autoencoders take the plain way, never cut
        plain = network.ours(ours, given, FP32)
    for column, ask in (("stream", network.streamed), ("tiles", network.tiled)):
        if ask is not None:
            made.add(column, name, ask(ours, given, FP32), plain)


def _offloaded(network: Network, folder: ModelFolder, mode: str, given: Inputs) -> Sequence[Tensor]:
    """What ours gives if it never holds more of its weights than ``mode`` says."""
    net = load_component(folder, network.component, dtype=FP32, on_block=drop_block)
    if not all(p.is_meta for p in net.parameters()):
        raise SystemExit(f"{network.what}: weights stayed where offload={mode} begins")
    read = BlockReader(
        pieces_of(folder.tensor_files(network.component)),
        dtype=FP32,
        fp32_parts=getattr(net, "fp32_parts", frozenset()),
    )
    with apply_offload(net, mode, device="cpu", read=read):
        outputs = network.ours(net, given, FP32)
    if not all(p.is_meta for p in net.parameters()):
        raise SystemExit(f"{network.what}: weights stayed after offload={mode}")
    return outputs


def _saved(root: Path, component: str, network: Any) -> ModelFolder:
    shutil.rmtree(root, ignore_errors=True)
    network.save_pretrained(root / component)
    return ModelFolder(path=root, name="parity", components={component: ("diffusers", type(network).__name__)})


def _hunyuan_case(changes: dict[str, Any], size: tuple[int, int, int], lengths: list[int]) -> Case:
    settings = {**hunyuan.REFERENCE, **changes}
    return Case(
        build=lambda: hunyuan.HunyuanVideoTransformer3DModel(**settings),
        inputs=hunyuan.arguments(VideoTransformerConfig(**settings), size, lengths),
    )


def _wan_case(changes: dict[str, Any], size: tuple[int, int, int], lengths: list[int], per: str) -> Case:
    settings = {**wan.SMALL, **changes}
    return Case(
        build=lambda: wan.WanTransformer3DModel(**settings),
        inputs=wan.arguments(WanTransformerConfig(**settings), size, lengths, per),
    )


def _hunyuan_vae_cases() -> dict[str, dict[str, Case]]:
    """Input -> name -> case."""
    cases: dict[str, dict[str, Case]] = {"video": {}, "latents": {}}
    for name, (options, *shape) in hunyuan_vae_cases.CASES.items():
        config = VideoAutoencoderConfig(**options)
        with torch.device("meta"):
            network = VideoAutoencoder(config)
        latents, video = hunyuan_vae.latents_and_video(network, *shape)
        build = partial(hunyuan_vae.reference, config)
        cases["video"][name] = Case(build=build, inputs={"video": video})
        cases["latents"][name] = Case(build=build, inputs={"latents": latents})
    return cases


def _wan_vae_cases() -> dict[str, dict[str, Case]]:
    cases: dict[str, dict[str, Case]] = {"video": {}, "latents": {}}
    for name, (config, batch, frames, height, width) in wan_vae.CASES.items():
        time, space = config.compression.time, config.compression.space
        size = (batch, config.z_dim, 1 + (frames - 1) // time, height // space, width // space)
        build = partial(wan_vae.reference, config)
        cases["video"][name] = Case(build=build, inputs={"video": wan_vae.pixels(name)})
        cases["latents"][name] = Case(build=build, inputs={"latents": wan_vae.normal_like(torch.empty(size))})
    return cases


def _ltx_case(
    changes: dict[str, Any],
    size: tuple[int, int, int],
    lengths: list[int],
    per: str,
    spacing: tuple[float, float, float],
) -> Case:
    settings = {**ltx.SMALL, **changes}
    return Case(
        build=lambda: ltx.LTXVideoTransformer3DModel(**settings),
        inputs=ltx.arguments(LtxTransformerConfig(**settings), size, lengths, per, spacing),
    )


def _ltx_vae_cases() -> dict[str, dict[str, Case]]:
    """Without the noise that some decoders add: in bf16 the reference draws other noise than in fp32."""
    cases: dict[str, dict[str, Case]] = {"video": {}, "latents": {}}
    for name, (config, *_) in ltx_vae.CASES.items():
        build = partial(ltx_vae.reference, replace(config, decoder_inject_noise=(False,) * 5))
        cases["video"][name] = Case(build=build, inputs={"video": ltx_vae.pixels(name)})
        inputs = {"latents": ltx_vae.latents_of(name), "level": ltx_vae.told(name)["level"]}
        cases["latents"][name] = Case(build=build, inputs=inputs)
    return cases


def _tiled(tiles: Tiles, frames: int, height: int, width: int) -> Case:
    config = VideoAutoencoderConfig(**tiling.OPTIONS)
    with torch.device("meta"):
        network = VideoAutoencoder(config)
    latents, video = hunyuan_vae.latents_and_video(network, 2, frames, height, width)
    inputs = {"latents": latents, "video": video, "tiles": tiles}
    return Case(build=partial(hunyuan_vae.reference, config), inputs=inputs)


def _wan_tiled(config: WanAutoencoderConfig, tiles: Tiles, frames: int, height: int, width: int) -> Case:
    latents = wan_vae.normal_like(torch.empty(2, config.z_dim, frames, height, width))
    return Case(build=partial(wan_vae.reference, config), inputs={"latents": latents, "tiles": tiles})


def _wan_tiles_on(net: Any, tiles: Tiles) -> None:
    assert tiles.height_px is not None
    assert tiles.width_px is not None
    (tall, tall_stride), (wide, wide_stride) = tiles.height_px, tiles.width_px
    net.enable_tiling(tall, wide, tall_stride, wide_stride)


def _tiles_on(net: Any, tiles: Tiles) -> None:
    net.use_framewise_encoding = net.use_framewise_decoding = True
    if tiles.frames is not None:
        net.tile_sample_min_num_frames, net.tile_sample_stride_num_frames = tiles.frames
    if tiles.height_px is not None:
        (tall, tall_stride), (wide, wide_stride) = tiles.height_px, tiles.width_px or (1000, 1000)
        net.enable_tiling(tall, wide, None, tall_stride, wide_stride, None)


def _gaussian(distribution: Any) -> list[Tensor]:
    return [distribution.mean, distribution.logvar]


def _untiled(net: Any, _: Inputs) -> None:
    net.use_framewise_encoding = net.use_framewise_decoding = False


def _as_published(net: Any, _: Inputs) -> None:
    """With levels told in thousandths, and statistics."""
    if net.config.timestep_conditioning:
        net.decoder.timestep_scale_multiplier.fill_(1000.0)
    net.latents_mean.fill_(0.3)
    net.latents_std.fill_(1.7)


def _as_built(net: Any, _: Inputs) -> None:
    pass


def _encode_streamed(net: Any, given: Inputs, _: torch.dtype) -> Sequence[Tensor]:
    video, time = given["video"], net.config.compression.time
    chunks = net.encode_stream(video.split([1] + [time] * ((video.shape[2] - 1) // time), dim=2))
    return [torch.cat(parts, dim=2) for parts in zip(*chunks, strict=True)]


def _decode_streamed(net: Any, given: Inputs, _: torch.dtype) -> Sequence[Tensor]:
    """In constant memory; where norms span the clip, every part a frame that waits in a file."""
    with patch.object(chunked, "_CPU_VALUES", 1):
        latents = given["latents"]
        chunks = (
            net.decode_stream(latents, make_shelf=partial(FileShelf, 0))
            if isinstance(net, VideoAutoencoder)
            else net.decode_stream(latents)
        )
        return [torch.cat(list(chunks), dim=2)]


def _decode_in_parts(net: Any, given: Inputs, _: torch.dtype) -> Sequence[Tensor]:
    """In parts of a frame, what norms need kept."""
    with patch.object(chunked, "_CPU_VALUES", 1):
        return [net.decode(given["latents"])]


def _decode_in_strips(net: Any, given: Inputs, _: torch.dtype) -> Sequence[Tensor]:
    return [torch.cat(list(decode_strips(net, given["latents"], rows=1)), dim=2)]


def _encode_in_parts(net: Any, given: Inputs, _: torch.dtype) -> Sequence[Tensor]:
    with patch.object(chunked, "_CPU_VALUES", 1):
        return net.encode(given["video"])
