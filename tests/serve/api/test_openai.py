"""The unmodified openai SDK over a real server."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterator
from itertools import count
from typing import Any, Literal

import openai
import pytest
from openai.types import Video

from tests.serve.api.conftest import Server

pytestmark = pytest.mark.filterwarnings("ignore:The Sora API:DeprecationWarning")


_NUMBERS = count()


def extra(video: Video) -> dict[str, Any]:
    """What the answer tells besides OpenAI's fields."""
    assert video.model_extra is not None
    return video.model_extra


@pytest.fixture(scope="module")
def anybody(server: Server) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(api_key="sdk", base_url=f"{server.url}/v1", max_retries=0) as client:
        yield client


@pytest.fixture
def sdk(anybody: openai.OpenAI) -> openai.OpenAI:
    """A new owner's."""
    return anybody.with_options(api_key=f"sdk{next(_NUMBERS)}")


def test_create_and_retrieve(sdk: openai.OpenAI, server: Server):
    made = sdk.videos.create(prompt="a red ball rolls", seconds="4", size="1280x720")
    assert (made.object, made.status, made.progress) == ("video", "queued", 0)
    assert (made.model, made.prompt, made.size, made.seconds) == ("kinema-mini", "a red ball rolls", "128x80", "4.125")
    assert any(w.startswith("size: 1280x720 became 128x80") for w in extra(made)["warnings"])
    assert sdk.videos.retrieve(made.id).status == "queued"
    server.worker.work(until=made.id)
    done = sdk.videos.retrieve(made.id)
    assert (done.status, done.progress) == ("completed", 100)
    assert (done.completed_at or 0) >= done.created_at


def test_lengths_and_models_of_theirs_become_ours(sdk: openai.OpenAI):
    made = sdk.videos.create(prompt="a red ball rolls", model="sora-2", seconds="12", size="720x1280")
    assert (made.model, made.size, made.seconds) == ("kinema-mini", "80x128", "4.125")
    warnings = " ".join(extra(made)["warnings"])
    assert "model: sora-2 is not served here" in warnings
    assert "seconds: 12 became 4.125, the longest" in warnings


def test_create_with_a_file(sdk: openai.OpenAI, server: Server, picture: bytes):
    made = sdk.videos.create(prompt="a red ball rolls", input_reference=("begin.png", io.BytesIO(picture), "image/png"))
    (keyframe,) = extra(made)["resolved"]["keyframes"]
    assert server.blobs.path(keyframe["media"]).read_bytes() == picture
    assert keyframe["at_s"] == 0


def test_create_with_the_url_of_a_picture(sdk: openai.OpenAI, server: Server, picture: bytes):
    server.web.pages["https://pictures.example/begin.png"] = picture
    # the SDK's types allow the object as ``input_reference``, its code takes files alone
    reference = {"image_url": "https://pictures.example/begin.png"}
    made = sdk.videos.create(prompt="a ball", extra_body={"input_reference": reference})
    assert len(extra(made)["resolved"]["keyframes"]) == 1


def test_create_and_poll(sdk: openai.OpenAI, server: Server):
    with server.working():
        assert sdk.videos.create_and_poll(prompt="a red ball rolls").status == "completed"


def test_poll_header_follows_the_estimate(sdk: openai.OpenAI, server: Server):
    made = sdk.videos.with_raw_response.create(prompt="a red ball rolls")
    assert 250 <= int(made.headers["openai-poll-after-ms"]) <= 5000
    job = made.parse()
    server.worker.work(until=job.id)
    assert "openai-poll-after-ms" not in sdk.videos.with_raw_response.retrieve(job.id).headers


def test_list_with_cursors(sdk: openai.OpenAI):
    ids = [sdk.videos.create(prompt=f"{n} balls").id for n in range(5)]
    first = sdk.videos.list(limit=2)
    assert [v.id for v in first.data] == ids[:-3:-1]
    assert (first.has_more, first.last_id) == (True, ids[3])
    assert [v.id for v in sdk.videos.list(limit=2)] == ids[::-1]
    assert [v.id for v in sdk.videos.list(limit=2, order="asc")] == ids


def test_all_variants_download(sdk: openai.OpenAI, server: Server):
    job = sdk.videos.create(prompt="a red ball rolls")
    with pytest.raises(openai.ConflictError) as error:
        sdk.videos.download_content(job.id)
    assert error.value.code == "job.not_finished"
    server.worker.work(until=job.id)
    files = server.worker.files
    assert sdk.videos.download_content(job.id).read() == files["video"][0].read_bytes()
    variants: list[tuple[Literal["video", "thumbnail", "spritesheet"], str]] = [
        ("video", "video"),
        ("thumbnail", "cover"),
        ("spritesheet", "spritesheet"),
    ]
    for variant, name in variants:
        assert sdk.videos.download_content(job.id, variant=variant).read() == files[name][0].read_bytes()


def test_remix_keeps_everything_but_the_prompt(sdk: openai.OpenAI, server: Server):
    job = sdk.videos.create(prompt="a red ball rolls", size="720x1280", extra_body={"seed": "7", "steps": "3"})
    with pytest.raises(openai.ConflictError):
        sdk.videos.remix(job.id, prompt="a blue ball rolls")
    server.worker.work(until=job.id)
    remix = sdk.videos.remix(job.id, prompt="a blue ball rolls")
    assert (remix.remixed_from_video_id, remix.prompt) == (job.id, "a blue ball rolls")
    one, two = extra(job)["resolved"], extra(remix)["resolved"]
    assert {**one, "prompt": ""} == {**two, "prompt": ""}
    assert (two["seed"], two["steps"], two["size"]) == (7, 3, "80x128")


def test_extend_begins_with_the_last_frame(sdk: openai.OpenAI, server: Server):
    job = sdk.videos.create(prompt="a red ball rolls", size="720x1280")
    server.worker.work(until=job.id)
    more = sdk.videos.extend(prompt="it stops", seconds="4", video=sdk.videos.download_content(job.id).read())
    (keyframe,) = extra(more)["resolved"]["keyframes"]
    assert server.blobs.path(keyframe["media"]).read_bytes() == server.worker.files["last_frame"][0].read_bytes()
    assert (keyframe["at_s"], more.size) == (0, "80x128")
    assert any("not joined" in w for w in extra(more)["warnings"])


def test_what_the_model_cannot_do_is_refused_clearly(sdk: openai.OpenAI, server: Server):
    job = sdk.videos.create(prompt="a red ball rolls")
    server.worker.work(until=job.id)
    for call in (
        lambda: sdk.videos.edit(prompt="make it blue", video=b"a file"),
        lambda: sdk.videos.extend(prompt="it stops", seconds="4", video=b"a file"),
    ):
        with pytest.raises(openai.BadRequestError) as error:
            call()
        assert (error.value.code, error.value.param) == ("input.unsupported", "video")
    with pytest.raises(openai.BadRequestError) as error:
        sdk.videos.create_character(name="Mossy", video=b"a file")
    assert error.value.code == "input.unsupported"
    with pytest.raises(openai.NotFoundError):
        sdk.videos.get_character("char_1")


def test_delete(sdk: openai.OpenAI, server: Server):
    job = sdk.videos.create(prompt="a red ball rolls")
    with pytest.raises(openai.ConflictError):
        sdk.videos.delete(job.id)
    server.worker.work(until=job.id)
    gone = sdk.videos.delete(job.id)
    assert (gone.id, gone.deleted, gone.object) == (job.id, True, "video.deleted")
    with pytest.raises(openai.NotFoundError):
        sdk.videos.retrieve(job.id)


def test_errors_arrive_as_the_sdk_knows_them(sdk: openai.OpenAI):
    with pytest.raises(openai.BadRequestError) as error:
        sdk.videos.create(prompt="")
    assert (error.value.code, error.value.param, error.value.type) == (
        "input.invalid",
        "prompt",
        "invalid_request_error",
    )


def test_async_client(server: Server):
    async def use() -> None:
        async with openai.AsyncOpenAI(api_key="sdk-async", base_url=f"{server.url}/v1", max_retries=0) as sdk:
            made = await sdk.videos.create(prompt="a red ball rolls", seconds="4")
            assert (await sdk.videos.retrieve(made.id)).status == "queued"

    asyncio.run(use())
