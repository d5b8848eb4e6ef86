"""What clients ask for in their dialects, as orders: fields renamed, sizes and lengths mapped where a dialect wants that, lineage."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from kinema.core.card import ModelCard
from kinema.core.errors import InvalidInput, UnsupportedRequest
from kinema.core.geometry import nearest_size, parse_size
from kinema.core.media_ref import Keyframe, MediaRef
from kinema.core.request import GenerationRequest
from kinema.serve.api.planner import Planner
from kinema.serve.api.problems import ApiError, not_found, of_input
from kinema.serve.jobs.job import Job, Succeeded
from kinema.wire.fields import JOB_ID, Clip, Picture
from kinema.wire.requests import (
    Extras,
    GenerationCreate,
    VideoChange,
    VideoCreate,
    VideoEdit,
    VideoExtend,
)

Dialect = Literal["native", "mission", "xai", "openai"]
_SAME = ("negative_prompt", "seed", "steps", "guidance", "guidance_2", "fps", "frames", "style", "camera")
# stands for a picture that is not here yet, while everything else is checked
_LATER = MediaRef(f"sha256:{'0' * 64}")
# names that clients of other services have built in
_FOREIGN = re.compile(r"(sora|grok)-[a-z0-9.-]+")
_CONTENT = re.compile(r"(?P<base>https?://[^/]+)?/v1/videos/(?P<id>vid_[0-9A-Z]{26})/content(?:\?.*)?")
# how each vocabulary calls our fields, and the picture that a clip begins with
_NAMES: dict[Dialect, dict[str, str]] = {
    "openai": {},
    "mission": {"seconds": "duration_seconds", "motion": "motion_bucket_id"},
    "xai": {"seconds": "duration"},
}
_PICTURES: dict[Dialect, str] = {
    "openai": "input_reference",
    "mission": "image_url",
    "xai": "image",
}


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A request that was understood. ``pictures`` are those that its keyframes wait for: (index, field, picture).

    ``names``: our fields' names in the caller's words.
    """

    request: GenerationRequest
    dialect: Dialect
    kind: str = "generate"
    pictures: tuple[tuple[int, str, Picture], ...] = ()
    warnings: tuple[str, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)
    rewrites: bool = True
    priority: int = 0
    wait_s: float | None = None
    webhook_url: str | None = None
    parents: tuple[str, ...] = ()


class Drafts:
    """Makes drafts for the models of ``planner``.

    ``find`` gives the caller's job of an id, ``maker`` the id of the caller's job that made a file; both may give None.
    """

    def __init__(
        self,
        planner: Planner,
        find: Callable[[str], Job | None],
        *,
        maker: Callable[[bytes], str | None],
        base_url: str,
    ) -> None:
        self._planner, self._find, self._maker, self._base_url = planner, find, maker, base_url

    def video(self, form: VideoCreate, dialect: Dialect) -> Draft:
        """`POST /v1/videos`. Raises: ApiError, InvalidInput."""
        warnings: list[str] = []
        model, card = self._model(form.model, dialect, warnings)
        size, seconds = form.size, form.seconds
        if dialect != "native":
            size = size and _nearest_size(size, card, warnings)
            seconds = seconds and _nearest_seconds(seconds, form.fps, card, warnings)
        fields = {"size": size, "seconds": seconds, "aspect_ratio": form.aspect_ratio, "motion": form.motion}
        return _new(form, "openai", dialect, model, fields, form.input_reference, warnings)

    def generation(self, form: GenerationCreate, dialect: Dialect | None) -> Draft:
        """`POST /v1/videos/generations`, answered in ``dialect``, or that of its words. Raises: ApiError, InvalidInput."""
        theirs = {"duration", "image", "resolution"}
        ours = {"duration_seconds", "image_url", "motion_bucket_id"}
        if (mixed := sorted(form.model_fields_set & theirs)) and (own := sorted(form.model_fields_set & ours)):
            raise InvalidInput(mixed[0], "given", f"belongs to another vocabulary than {own[0]}; use one of the two")
        warnings: list[str] = []
        words: Dialect = "xai" if form.is_xai else "mission"
        is_exact = dialect == "native"
        model, card = self._model(form.model, "native" if is_exact else words, warnings)
        seconds, motion = form.duration_seconds, form.motion_bucket_id
        if form.duration is not None:
            seconds = form.duration if is_exact else _nearest_seconds(form.duration, form.fps, card, warnings)
        if form.resolution is not None:
            warnings.append(f"resolution: {form.resolution} has no effect; {card.name} has sizes of its own")
        if motion is not None and "motion" not in card.conditions:
            warnings.append(f"motion_bucket_id: has no effect; {card.name} was not trained on it")
            motion = None
        fields = {"size": form.size, "seconds": seconds, "aspect_ratio": form.aspect_ratio, "motion": motion}
        return _new(form, words, dialect or words, model, fields, form.image_url or form.image, warnings)

    def remix(self, parent_id: str, prompt: str, dialect: Dialect) -> Draft:
        """The parent's request, as it was carried out, with another prompt. Raises: ApiError."""
        parent = self._parent(parent_id, "id")
        request = made_from(parent).replace(prompt=prompt, original_prompt=None, style=None)
        return Draft(
            request=request, dialect=dialect, kind="remix", parents=(parent.id,), priority=parent.order.priority
        )

    def extend(self, form: VideoExtend, dialect: Dialect) -> Draft:
        """A clip that begins with the last frame of the parent's. Raises: ApiError, InvalidInput."""
        if form.seconds is not None and form.duration is not None:
            raise InvalidInput(
                "duration", form.duration, f"give seconds or duration, not both (seconds is {form.seconds:g})"
            )
        parent = self._parent(self._job_id(form.video, "extended"), "video")
        warnings = [f"video: the new clip begins with the last frame of {parent.id}; the two are not joined"]
        before = made_from(parent)
        model, card = self._model(form.model or parent.order.model, dialect, warnings)
        seconds = form.duration if form.seconds is None else form.seconds
        if seconds is not None and dialect != "native":
            seconds = _nearest_seconds(seconds, before.fps, card, warnings)
        request = GenerationRequest(
            prompt=form.prompt,
            model=model,
            size=before.size,
            fps=before.fps,
            seconds=seconds,
            seed=form.seed,
            keyframes=(Keyframe(MediaRef(_output(parent, "last_frame"))),),
        )
        return Draft(
            request=request,
            dialect=dialect,
            kind="extend",
            warnings=tuple(warnings),
            names={"keyframes": "video", **({"seconds": "duration"} if form.duration is not None else {})},
            parents=(parent.id,),
        )

    def edit(self, form: VideoEdit, dialect: Dialect) -> Draft:
        """A clip changed by words, on models that take a source. Raises: ApiError, InvalidInput."""
        warnings: list[str] = []
        model, card = self._model(form.model, dialect, warnings)
        if "source" not in card.conditions:
            takes = ", ".join(card.conditions) or "text alone"
            raise UnsupportedRequest("video", form.video.id or "a clip", f"{model} can't edit clips; it takes {takes}")
        parent = self._parent(self._job_id(form.video, "edited"), "video")
        request = GenerationRequest(prompt=form.prompt, model=model, source=MediaRef(_output(parent, "video")))
        return Draft(
            request=request,
            dialect=dialect,
            kind="edit",
            warnings=tuple(warnings),
            names={"source": "video"},
            parents=(parent.id,),
        )

    def change(self, job: Job, form: VideoChange, dialect: Dialect) -> Draft:
        """``job`` with the fields that ``form`` names, read as when it was made in ``dialect``. Raises: ApiError, InvalidInput."""
        warnings: list[str] = []
        order, asked = job.order, GenerationRequest.from_dict(job.order.request)
        given = {name: getattr(form, name) for name in form.model_fields_set - {"rewrite", "priority"}}
        for name, other in (("seconds", "frames"), ("size", "aspect_ratio")):
            # who names one of a pair no longer means the other
            if given.get(name) is not None:
                given.setdefault(other, None)
            elif given.get(other) is not None:
                given.setdefault(name, None)
        for name in ("prompt", "model"):
            if given.get(name, "") is None:
                del given[name]
        model, card = self._model(given.get("model", asked.model), dialect, warnings)
        if "model" in given:
            given["model"] = model
        if dialect in ("openai", "xai"):
            fps = given.get("fps", asked.fps)
            given |= {"size": _nearest_size(given["size"], card, warnings)} if given.get("size") else {}
            given |= (
                {"seconds": _nearest_seconds(given["seconds"], fps, card, warnings)} if given.get("seconds") else {}
            )
        # what was said of fields that are others now no longer holds
        earlier = [w for w in order.resolved.get("dialect_warnings", ()) if _field_of(w) not in given]
        return Draft(
            request=asked.replace(**given),
            dialect=order.dialect,  # pyright: ignore[reportArgumentType]
            kind=order.kind,
            warnings=(*earlier, *warnings),
            rewrites=form.rewrite if "rewrite" in form.model_fields_set else order.resolved.get("rewrite", True),
            priority=form.priority if "priority" in form.model_fields_set else order.priority,
            parents=order.parents,
        )

    def _model(self, name: str | None, dialect: Dialect, warnings: list[str]) -> tuple[str, ModelCard]:
        models = self._planner.models
        default = next(iter(models))
        if name is not None and name not in models:
            if dialect not in ("openai", "xai") or not _FOREIGN.fullmatch(name):
                raise InvalidInput("model", name, f"is not served here; one of {', '.join(models)}")
            warnings.append(f"model: {name} is not served here; {default} takes its place")
            name = None
        return name or default, models[name or default]

    def _job_id(self, clip: Clip, what: str) -> str:
        if clip.id:
            return clip.id
        found = _CONTENT.fullmatch(clip.url)
        if found and found["base"] in (None, self._base_url):
            return found["id"]
        # OpenAI's SDK can send files alone
        if clip.upload is not None and (made_by := self._maker(clip.upload.data)) is not None:
            return made_by
        raise UnsupportedRequest(
            "video",
            clip.url or "a file",
            f"only clips that were made here can be {what}; give the id of a finished job",
        )

    def _parent(self, job_id: str, name: str) -> Job:
        job = self._find(job_id) if re.fullmatch(JOB_ID, job_id) else None
        if job is None:
            raise (
                not_found() if name == "id" else ApiError(404, "not_found", f"{name}: there is no such job", field=name)
            )
        if not isinstance(job.state, Succeeded):
            message = f"{name}: {job.id} is {job.status.value}; only a clip that is there can be gone on from"
            raise ApiError(409, "job.not_succeeded", message, field=name, retryable=not job.status.is_final)
        return job


def made_from(job: Job) -> GenerationRequest:
    """The request that ``job`` carries out."""
    return GenerationRequest.from_dict(job.order.resolved.get("request", job.order.request))


def _field_of(warning: str) -> str:
    """Our name of the field that ``warning`` is about."""
    name = warning.partition(":")[0]
    return {"resolution": "size", "motion_bucket_id": "motion"}.get(name, name)


def _new(
    form: VideoCreate | GenerationCreate,
    words: Dialect,
    dialect: Dialect,
    model: str,
    fields: Mapping[str, Any],
    first: Picture | None,
    warnings: list[str],
) -> Draft:
    name = _PICTURES[words]
    names = {**_NAMES[words], **({} if form.keyframes else {"keyframes": name})}
    pictures = [] if first is None else [(0.0, name, first)]
    pictures += [(k.at_s, f"keyframes.{i}.image", k.image) for i, k in enumerate(form.keyframes)]
    try:
        request = GenerationRequest(
            prompt=form.prompt,
            model=model,
            keyframes=tuple(Keyframe(_LATER, at_s) for at_s, _, _ in pictures),
            **_same(form),
            **fields,
        )
    except InvalidInput as e:
        raise of_input(e, names) from e
    return Draft(
        request=request,
        dialect=dialect,
        pictures=tuple((i, place, picture) for i, (_, place, picture) in enumerate(pictures)),
        warnings=tuple(warnings),
        names=names,
        rewrites=form.rewrite,
        priority=form.priority,
        wait_s=form.wait_s,
        webhook_url=form.webhook_url,
    )


def _same(form: Extras) -> dict[str, Any]:
    return {name: getattr(form, name) for name in _SAME}


def _output(job: Job, name: str) -> str:
    assert isinstance(job.state, Succeeded)
    output = job.state.result.get("outputs", {}).get(name)
    if output is None:
        raise ApiError(409, "output.none", f"video: {job.id} has no {name}", field="video")
    return str(output["blob"])


def _nearest_size(size: str, card: ModelCard, warnings: list[str]) -> str:
    width, height = parse_size(size)
    if (width, height) in card.sizes:
        return size
    near = "x".join(map(str, nearest_size(card.sizes, width / height)))
    warnings.append(f"size: {size} became {near}, the nearest that {card.name} makes")
    return near


def _nearest_seconds(seconds: float, fps: float | None, card: ModelCard, warnings: list[str]) -> float:
    rate = fps or card.fps[0]
    if card.compression.snap_frames(seconds * rate) <= card.max_frames:
        return seconds
    longest = card.max_frames / rate
    warnings.append(f"seconds: {seconds:g} became {longest:g}, the longest that {card.name} makes")
    return longest
