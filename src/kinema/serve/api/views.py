"""Jobs as each dialect's clients read them. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kinema.core.jobs import JobState
from kinema.serve.api.orders import Dialect, made_from
from kinema.serve.api.queue import Place
from kinema.serve.jobs.job import Failed, Job, Queued, Running, Succeeded

_OPENAI = {
    JobState.QUEUED: "queued",
    JobState.RUNNING: "in_progress",
    JobState.CANCELING: "in_progress",
    JobState.SUCCEEDED: "completed",
    JobState.FAILED: "failed",
    JobState.CANCELED: "failed",
    JobState.EXPIRED: "failed",
}
_MISSION = {
    JobState.SUCCEEDED: "succeeded",
    JobState.FAILED: "failed",
    JobState.EXPIRED: "failed",
    JobState.CANCELED: "canceled",
}
_XAI = {
    JobState.SUCCEEDED: "done",
    JobState.FAILED: "failed",
    JobState.CANCELED: "failed",
    JobState.EXPIRED: "expired",
}
_METRICS = ("queue_ms", "load_ms", "encode_ms", "denoise_ms", "decode_ms", "peak_memory_mb", "flops")
# where a phase begins and ends on the way to 100; those of other names stand at the end of it
_PHASES = {"load": (1, 3), "encode": (3, 5), "text": (3, 5), "denoise": (5, 90), "decode": (90, 97), "write": (97, 99)}


def view(job: Job, dialect: Dialect, place: Place, *, base_url: str) -> dict[str, Any]:
    """``job`` in ``dialect``; ``base_url`` is how the client reaches this server."""
    return _VIEWS[dialect](job, place, base_url)


def progress(job: Job) -> int:
    """About how much is done, in percent; 100 only when all is."""
    if isinstance(job.state, Succeeded):
        return 100
    if isinstance(job.state, Queued) or job.phase is None:
        return 0
    low, high = _PHASES.get(job.phase, (97, 99))
    return int(low + (high - low) * min(1.0, job.step / job.steps if job.steps else 0.0))


def poll_after_ms(place: Place) -> int:
    """When it is worth asking again: a tenth of what is left, between a quarter of a second and five."""
    return 1000 if place.eta is None else int(min(5000, max(250, 100 * place.eta.median_s)))


def _url(job: Job, base_url: str, variant: str = "video") -> str:
    return f"{base_url}/v1/videos/{job.id}/content" + ("" if variant == "video" else f"?variant={variant}")


def _outputs(job: Job) -> Mapping[str, Any]:
    return job.state.result.get("outputs", {}) if isinstance(job.state, Succeeded) else {}


def _warnings(job: Job) -> list[str]:
    made = job.state.result.get("warnings", ()) if isinstance(job.state, Succeeded) else ()
    return list(dict.fromkeys([*job.order.resolved.get("warnings", ()), *made]))


def _error(job: Job) -> dict[str, Any] | None:
    """Why there is no clip, and won't be."""
    if isinstance(job.state, Failed):
        e = job.state.error
        return {"code": e.code, "message": e.message, "retryable": e.retryable}
    if job.status is JobState.CANCELED:
        return {"code": "job.canceled", "message": "the job was canceled", "retryable": False}
    if job.status is JobState.EXPIRED:
        message = "the time of its files is over" if job.started_at else "it waited longer than it was to"
        return {"code": "job.expired", "message": message, "retryable": False}
    return None


def _resolved(job: Job) -> dict[str, Any]:
    """Every choice, under the names of the native fields; pictures are told by their content."""
    return dict(job.order.resolved.get("request", job.order.request))


def _seconds(job: Job) -> float:
    request = made_from(job)
    return round(request.frames / request.fps, 3) if request.frames and request.fps else request.seconds or 0.0


def _native(job: Job, place: Place, base_url: str) -> dict[str, Any]:
    state, order, path = job.state, job.order, f"{base_url}/v1/videos/{job.id}"
    metrics = state.result.get("metrics", {}) if isinstance(state, Succeeded) else None
    return {
        "id": job.id,
        "object": "video",
        "status": job.status.value,
        "kind": order.kind,
        "dialect": order.dialect,
        "model": order.model,
        "priority": order.priority,
        "paused": (isinstance(state, Queued) and state.paused) or (isinstance(state, Running) and state.pause_wanted),
        "created_at": job.created_at,
        "started_at": job.started_at,
        "finished_at": job.finished_at,
        "expires_at": job.expires_at,
        "queue_position": place.position if isinstance(state, Queued) else None,
        "eta_seconds": _eta(place, "median_s"),
        "eta_p90_seconds": _eta(place, "p90_s"),
        "progress": progress(job),
        # the last phase counted files
        "phase": None if isinstance(state, Succeeded) else job.phase,
        "step": order.steps if isinstance(state, Succeeded) else job.step,
        "steps": order.steps if isinstance(state, Succeeded) else job.steps or order.steps,
        "attempts": job.fence,
        "parents": list(order.parents),
        "request": dict(order.request),
        "resolved": _resolved(job),
        "warnings": _warnings(job),
        "error": _error(job),
        "metrics": metrics and {name: metrics.get(name) for name in _METRICS},
        "outputs": {
            name: {
                "url": _url(job, base_url, name),
                "media_type": output["media_type"],
                "bytes": output["bytes"],
                "name": output["name"],
            }
            for name, output in _outputs(job).items()
        },
        "last_event": job.last_event,
        "urls": {"self": path, "events": f"{path}/events", "cancel": f"{path}/cancel", "content": f"{path}/content"},
    }


def _openai(job: Job, place: Place, base_url: str) -> dict[str, Any]:
    request, error = made_from(job), _error(job)
    return {
        "id": job.id,
        "object": "video",
        "status": _OPENAI[job.status],
        "progress": progress(job),
        "model": job.order.model,
        "prompt": request.original_prompt or request.prompt,
        "size": request.size or "",
        "seconds": f"{_seconds(job):g}",
        "created_at": int(job.created_at),
        "completed_at": int(job.finished_at) if isinstance(job.state, Succeeded) and job.finished_at else None,
        "expires_at": int(job.expires_at) if job.expires_at else None,
        "error": error and {"code": error["code"], "message": error["message"]},
        "remixed_from_video_id": next(iter(job.order.parents), None),
        "eta_seconds": _eta(place, "median_s"),
        "warnings": _warnings(job),
        "resolved": _resolved(job),
    }


def _mission(job: Job, place: Place, base_url: str) -> dict[str, Any]:
    has_cover = "cover" in _outputs(job)
    output = {"url": _url(job, base_url), "cover": _url(job, base_url, "cover") if has_cover else None}
    return {
        "id": job.id,
        "request_id": job.id,
        "status": _MISSION.get(job.status, "processing"),
        "eta": _eta(place, "median_s"),
        "progress": progress(job),
        "model": job.order.model,
        "output": output if isinstance(job.state, Succeeded) else None,
        "error": _error(job),
        "warnings": _warnings(job),
    }


def _xai(job: Job, place: Place, base_url: str) -> dict[str, Any]:
    is_done = isinstance(job.state, Succeeded)
    video = {"url": _url(job, base_url), "duration": _seconds(job)}
    error = _error(job)
    return {
        "request_id": job.id,
        "id": job.id,
        "status": _XAI.get(job.status, "pending"),
        "progress": progress(job),
        "model": job.order.model,
        "eta": _eta(place, "median_s"),
        "warnings": _warnings(job),
        **({"video": video} if is_done else {}),
        **({"error": error} if error else {}),
    }


def _eta(place: Place, name: str) -> float | None:
    return None if place.eta is None else round(getattr(place.eta, name), 1)


_VIEWS: dict[Dialect, Callable[[Job, Place, str], dict[str, Any]]] = {
    "native": _native,
    "openai": _openai,
    "mission": _mission,
    "xai": _xai,
}
