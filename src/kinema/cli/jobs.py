"""`kinema submit|jobs|watch|cancel|download`: jobs of a server, which may be another machine's."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kinema.cli import fields
from kinema.cli.files import JsonOption
from kinema.cli.report import Reporter, make_reporter
from kinema.core.errors import InvalidInput
from kinema.core.jobs import JobState
from kinema.core.media_ref import Keyframe
from kinema.core.progress import Progress

if TYPE_CHECKING:
    from kinema.client import Client, Job
    from kinema.wire.answers import Event, Variant

IdArgument = Annotated[
    str, typer.Argument(metavar="ID", help="The job's id, as `kinema submit` and `kinema jobs` show it.")
]
UrlOption = Annotated[
    str | None, typer.Option(metavar="URL", help="The server; else KINEMA_URL, else http://127.0.0.1:8000.")
]
KeyOption = Annotated[
    str | None, typer.Option(metavar="KEY", help="An API key; KINEMA_API_KEY shows it to fewer eyes.")
]
# few: a person who mistyped the address waits for them
_RETRIES = 2
_PROMPT_WIDTH = 60


# typer reads a verb's flags from its parameters
def submit(  # noqa: PLR0913
    prompt: fields.Prompt,
    image: fields.Image = None,
    seconds: fields.Seconds = None,
    frames: fields.Frames = None,
    aspect: fields.Aspect = None,
    size: fields.Size = None,
    fps: fields.Fps = None,
    steps: fields.Steps = None,
    guidance: fields.Guidance = None,
    guidance_2: fields.Guidance2 = None,
    seed: fields.Seed = None,
    motion: fields.Motion = None,
    camera: fields.Camera = None,
    negative: fields.Negative = "",
    style: fields.Style = None,
    model: Annotated[str | None, typer.Option(metavar="NAME", help="One of the server's models; else its first.")] = None,
    no_rewrite: fields.NoRewrite = False,
    priority: Annotated[int, typer.Option(help="Higher goes first; an API key may ask for so much and no more.")] = 0,
    wait: Annotated[bool, typer.Option("--wait", help="Watch the job to its end.")] = False,
    out: Annotated[str | None, typer.Option("--out", "-o", metavar="FILE", help="Wait, and save the clip: .mp4; .png of 1 frame.")] = None,
    force: fields.Force = False,
    dry_run: fields.DryRun = False,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Have a server turn a sentence into a clip, and show the job's id."""
    asked = {
        "seconds": seconds,
        "frames": frames,
        "aspect_ratio": aspect,
        "size": size,
        "fps": fps,
        "steps": steps,
        "guidance": guidance,
        "guidance_2": guidance_2,
        "seed": seed,
        "motion": motion,
        "camera": camera,
        "negative_prompt": negative or None,
        "style": style,
        "model": model,
        "rewrite": False if no_rewrite else None,
        "priority": priority or None,
        **_pictures(image or ()),
    }
    path = None if out is None else _place(out, ".png" if frames == 1 else ".mp4", force=force)
    with make_reporter(as_json=as_json) as reporter, _client(url, key) as client:
        words = fields.read_prompt(prompt)
        if dry_run:
            plan = client.dry_run(words, **asked).model_dump()
            reporter.result("plan", plan, _plan_text(plan))
            return
        job = client.submit(words, **asked)
        for warning in job.info.warnings:
            reporter.note(f"note: {warning}")
        reporter.result("job", _told(job), job.id)
        if wait or path is not None:
            _watch(job, reporter)
        if path is not None:
            _check_suffix(job, path)
            _save(job, "video", path, reporter)


def jobs(
    status: Annotated[list[JobState] | None, typer.Option(help="Only jobs in this state; may be repeated.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many, from the newest on.")] = 20,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """List a server's jobs, newest first."""
    with make_reporter(as_json=as_json) as reporter, _client(url, key) as client:
        found = list(client.jobs(status=[state.value for state in status or ()], limit=limit))
        if not as_json:
            reporter.note(_row("ID", "STATUS", "DONE", "LEFT", "SINCE", "PROMPT") if found else "no jobs")
        for job in found:
            info = job.info
            state = "paused" if info.paused and info.status == "queued" else info.status
            left = "" if info.eta_seconds is None else f"{info.eta_seconds:.0f} s"
            since = f"{datetime.fromtimestamp(info.created_at):%m-%d %H:%M}"
            words = " ".join(str(info.request.get("prompt", "")).split())
            prompt = words if len(words) <= _PROMPT_WIDTH else f"{words[: _PROMPT_WIDTH - 3]}..."
            reporter.result("job", _told(job), _row(job.id, state, f"{info.progress} %", left, since, prompt))


def watch(id: IdArgument, url: UrlOption = None, key: KeyOption = None, as_json: JsonOption = False) -> None:
    """Follow a job to its end: exit code 0 if it succeeded, 1 if it failed, 130 if it was canceled. Ctrl-C leaves it running."""
    with make_reporter(as_json=as_json) as reporter, _client(url, key) as client:
        _watch(client.get(id), reporter)


def cancel(id: IdArgument, url: UrlOption = None, key: KeyOption = None, as_json: JsonOption = False) -> None:
    """Stop a job, within a step if it runs."""
    with make_reporter(as_json=as_json) as reporter, _client(url, key) as client:
        job = client.get(id).cancel()
        reporter.result("job", _told(job), f"{job.id}: {job.status}")


# typer reads a verb's flags from its parameters
def download(
    id: IdArgument,
    out: Annotated[str | None, typer.Option("--out", "-o", metavar="FILE", help="Where to; else the server's name for it, here.")] = None,
    variant: Annotated[str, typer.Option(metavar="NAME", help="video, cover, spritesheet, last_frame or recipe.")] = "video",
    force: fields.Force = False,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Fetch a file of a finished job; one that breaks off is gone on with."""
    with make_reporter(as_json=as_json) as reporter, _client(url, key) as client:
        job = client.get(id)
        output = job.info.outputs.get(variant)
        # a server's word for a file is no path on this machine
        name = "" if output is None else Path(output.name).name.lstrip(".")
        path = _place(out or name or job.id, None, force=force)
        _save(job, variant, path, reporter)  # pyright: ignore[reportArgumentType]


def _client(url: str | None, key: str | None) -> Client:
    from kinema.client import Client

    return Client(url, key, retries=_RETRIES)


def _pictures(images: tuple[()] | list[str]) -> dict[str, Any]:
    frames = [Keyframe.parse(text) for text in images]
    if len(frames) == 1 and not frames[0].at_s:
        return {"image": frames[0].media.ref}
    return {"keyframes": frames} if frames else {}


def _place(out: str, suffix: str | None, *, force: bool) -> Path:
    """Where a file goes, found out before anything is waited for. Raises: InvalidInput, StorageError."""
    from kinema.app.clips import refuse_existing

    path = Path(out)
    if suffix is not None and path.suffix.lower() != suffix:
        raise InvalidInput("out", out, f"must end in {suffix}, which is what a server makes of this")
    if not force:
        refuse_existing(path)
    return path


def _check_suffix(job: Job, path: Path) -> None:
    """A clip may be of a single frame by its seconds, too, which is known when it is there. Raises: InvalidInput."""
    suffix = Path(job.info.outputs["video"].name).suffix
    if path.suffix.lower() != suffix:
        rule = (
            f"must end in {suffix}, which the server made of this; kinema download {job.id} -o NAME{suffix} fetches it"
        )
        raise InvalidInput("out", str(path), rule)


def _watch(job: Job, reporter: Reporter) -> None:
    """Tells what happens to ``job`` until it is over. Raises: JobFailed."""
    from kinema.client import JobFailed

    try:
        if job.status == "queued" and job.info.queue_position is not None:
            left = "" if job.info.eta_seconds is None else f", about {job.info.eta_seconds:.0f} s"
            reporter.note(f"queued, {job.info.queue_position or 'none'} before it{left}")
        # of what was before, the last tells how it stands
        for event in job.stream(after=max(0, job.info.last_event - 1)):
            _tell(event, reporter)
    except KeyboardInterrupt:
        reporter.note(f"{job.id} goes on; kinema watch {job.id} looks again")
        reporter.note(f"kinema cancel {job.id} stops it")
        raise
    reporter.result("job", _told(job), f"{job.id}: {job.status}")
    if job.status != "succeeded":
        raise JobFailed(job.info)


def _tell(event: Event, reporter: Reporter) -> None:
    if event.event == "progress" and event.phase is not None:
        # a server's phases may be others than ours
        phase: Any = event.phase
        reporter.progress(Progress(phase=phase, step=event.step, steps=event.steps, eta_s=event.eta_s))
    elif event.event == "queued" and event.reason:
        reporter.note(f"queued again: {event.reason}")
    elif event.event in ("paused", "pausing", "resumed", "canceling"):
        reporter.note(event.event)


def _save(job: Job, variant: Variant, path: Path, reporter: Reporter) -> None:
    job.save(path, variant)
    told = {"id": job.id, "variant": variant, "path": str(path), "bytes": path.stat().st_size}
    reporter.result("download", told, str(path))


def _told(job: Job) -> dict[str, Any]:
    return job.info.model_dump(mode="json")


def _row(*cells: str) -> str:
    return "{:<30}  {:<9}  {:>5}  {:>7}  {:<11}  {}".format(*cells)


def _plan_text(plan: Mapping[str, Any]) -> str:
    lines = [f"{plan['model']}: {plan['shape']}, {plan['steps']} steps"]
    lines += [f"prompt: {plan['resolved'].get('prompt', '')}", *(f"note: {warning}" for warning in plan["warnings"])]
    if plan["fits"] is not None:
        lines.append("it fits in memory" if plan["fits"] else "it does not fit in memory")
    if plan["run_seconds"] is not None:
        lines.append(f"time: {plan['run_seconds']:g} s, one in ten {plan['run_p90_seconds']:g} s or more")
    return "\n".join([*lines, f"jobs that wait: {plan['queue_length']}"])
