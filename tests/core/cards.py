"""A model card for these tests, and random requests."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from kinema.core.card import CostFormula, ModelCard
from kinema.core.geometry import Compression
from kinema.core.media_ref import Keyframe, MediaRef
from kinema.core.request import CONTROL_KINDS, MAX_SEED, GenerationRequest

CARD = ModelCard(
    name="toy",
    version="1.2",
    family="toys",
    license="Apache-2.0",
    parameters={"transformer": 1300, "vae": 170},
    weights_bytes=2940,
    sizes=((96, 96), (128, 72), (72, 128)),
    compression=Compression(time=4, space=4, channels=11, align=8),
    patch=(1, 2, 2),
    text_tokens=7,
    fps=(8.0, 12.0),
    default_seconds=2.0,
    max_frames=29,
    default_steps=25,
    default_guidance=4.5,
    conditions=("keyframes", "camera", "motion"),
    cameras=("static", "pan_left"),
    languages=("en", "zh"),
    cost=CostFormula(
        denoise_per_token=13.0,
        denoise_per_token_pair=0.5,
        denoise_constant=3.0,
        encode_per_pixel=5.0,
        decode_per_pixel=17.0,
        text=19.0,
        activation_bytes_per_token=23.0,
        activation_bytes_per_pixel=29.0,
    ),
    vocabulary={"kind": {"puppy": ["puppy", "小狗"]}},
    has_sound=False,
    training={"steps": 31, "when": "today"},
    scores={"psnr_db": 28.5},
)

media = st.one_of(
    st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\x00"), min_size=1, max_size=20),
    st.just("https://example.org/猫.png"),
    st.just("sha256:" + "0a" * 32),
)
media_refs = media.filter(lambda r: r.strip() and (not r.startswith("sha256:") or len(r) == 71)).map(MediaRef)
texts = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=200)
seconds = st.floats(-3600, 3600)


@st.composite
def requests(draw: st.DrawFn) -> GenerationRequest:
    """Any valid request: every field may be filled in."""

    def maybe(strategy: st.SearchStrategy) -> st.SearchStrategy:
        return st.none() | strategy

    lengths: dict[str, Any] = draw(
        st.sampled_from([{}, {"frames": draw(st.integers(1, 86400))}, {"seconds": draw(st.floats(0.01, 3600))}])
    )
    count = st.integers(1, 9999)
    sizes = st.builds("{}x{}".format, count, count)
    ratios = st.builds("{}:{}".format, count, count)
    picture: dict[str, Any] = draw(st.sampled_from([{}, {"size": draw(sizes)}, {"aspect_ratio": draw(ratios)}]))
    return GenerationRequest(
        prompt=draw(texts.filter(str.strip)),
        negative_prompt=draw(st.just("") | texts),
        fps=draw(maybe(st.floats(0.1, 240) | st.integers(1, 240))),
        seed=draw(maybe(st.integers(0, MAX_SEED))),
        steps=draw(maybe(st.integers(1, 1000))),
        guidance=draw(maybe(st.floats(0, 100))),
        guidance_2=draw(maybe(st.floats(0, 100))),
        model=draw(texts),
        style=draw(maybe(texts)),
        keyframes=tuple(draw(st.lists(st.builds(Keyframe, media_refs, seconds), max_size=3))),
        source=draw(maybe(media_refs)),
        strength=draw(maybe(st.floats(0, 1))),
        references=tuple(draw(st.lists(st.tuples(media_refs, texts), max_size=3))),
        camera=draw(maybe(texts)),
        motion=draw(maybe(st.integers(1, 255))),
        controls=tuple(draw(st.lists(st.tuples(st.sampled_from(CONTROL_KINDS), media_refs), max_size=3))),
        original_prompt=draw(maybe(texts.filter(str.strip))),
        audio=draw(st.sampled_from(["off", "on"]) | media_refs),
        **lengths,
        **picture,
    )
