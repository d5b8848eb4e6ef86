"""`create_app`: the HTTP API as an ASGI application."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from fastapi import APIRouter, Depends, FastAPI

from kinema.core.version import VERSION
from kinema.serve.api import making, openapi, problems, status, videos
from kinema.serve.api.auth import Authenticate, local_caller
from kinema.serve.api.events import EventHub
from kinema.serve.api.guard import Guard
from kinema.serve.api.intake import Clean, Fetch, Intake
from kinema.serve.api.metrics import Meters
from kinema.serve.api.parts import only_known_parameters
from kinema.serve.api.planner import Planner
from kinema.serve.api.queue import QueueView
from kinema.serve.api.service import Service, Within
from kinema.serve.blobs import BlobStore
from kinema.serve.jobs.store import JobStore
from kinema.serve.settings import Settings


# each is a part of its own
def create_app(  # noqa: PLR0913
    *,
    settings: Settings,
    store: JobStore,
    blobs: BlobStore,
    planner: Planner,
    fetch: Fetch,
    clean: Clean,
    authenticate: Authenticate = local_caller,
    on_submit: Callable[[str | None], Within] | None = None,
    routers: Sequence[APIRouter] = (),
) -> FastAPI:
    """The API over ``store`` and ``blobs``; it loads no model and runs no job.

    ``fetch`` and ``clean`` get pictures and make them safe; ``on_submit`` gets each new job's webhook URL, or None, and gives what runs
    in the transaction that makes the job; ``routers`` are further routes, which find the parts of the server at ``app.state.service``. A
    server that stops calls ``app.state.hub.close()`` first, else it waits for readers of events.
    """
    meters = Meters(store.database)
    service = Service(
        settings=settings,
        store=store,
        blobs=blobs,
        planner=planner,
        authenticate=authenticate,
        intake=Intake(blobs, fetch=fetch, clean=clean, max_bytes=settings.max_body_bytes),
        queue=QueueView(store.database, device=settings.device.partition(":")[0], workers=settings.workers),
        meters=meters,
        on_submit=on_submit,
    )
    hub = EventHub(store.database, most=settings.max_streams, on_count=meters.streams.set)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        hub.close()

    # no page of documentation: theirs would load scripts from elsewhere
    app = FastAPI(title="Kinema", version=VERSION, lifespan=lifespan, docs_url=None, redoc_url=None)
    app.state.settings, app.state.service, app.state.hub = settings, service, hub
    problems.install(app)
    for router in (making.router, videos.router, status.router, *routers):
        app.include_router(router, dependencies=[Depends(only_known_parameters)])
    app.add_middleware(Guard, settings=settings, meters=meters)

    def described() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = openapi.describe(app)
        return app.openapi_schema

    app.openapi = described
    return app
