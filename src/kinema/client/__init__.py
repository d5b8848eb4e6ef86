"""Clients of a Kinema server, for programs that wait (`Client`) and those that await (`AsyncClient`).

``Client().submit("a red ball rolls to the left", seconds=1).wait().save("ball.mp4")``
"""

from kinema.client.aio import AsyncClient, AsyncJob
from kinema.client.errors import (
    ApiError,
    BadRequest,
    BrokenDownload,
    ClientError,
    Conflict,
    JobFailed,
    NotAllowed,
    NotFound,
    RateLimited,
    ServerError,
    Unreachable,
    WaitTimeout,
)
from kinema.client.sync import Client, Job

__all__ = [
    "ApiError",
    "AsyncClient",
    "AsyncJob",
    "BadRequest",
    "BrokenDownload",
    "Client",
    "ClientError",
    "Conflict",
    "Job",
    "JobFailed",
    "NotAllowed",
    "NotFound",
    "RateLimited",
    "ServerError",
    "Unreachable",
    "WaitTimeout",
]
