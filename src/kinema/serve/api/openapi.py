"""The OpenAPI of the service. ``python -m kinema.serve.api.openapi`` writes it to docs/openapi.json."""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from kinema.core.errors import UnsupportedRequest
from kinema.wire import access, answers, requests

if TYPE_CHECKING:
    from kinema.core.card import ModelCard
    from kinema.core.request import GenerationRequest
    from kinema.serve.api.planner import Planned

_REF = "#/components/schemas/{model}"
_BODIES: tuple[type[BaseModel], ...] = (
    requests.VideoCreate,
    requests.GenerationCreate,
    requests.VideoRemix,
    requests.VideoEdit,
    requests.VideoExtend,
    requests.VideoMove,
    requests.VideoChange,
    requests.CharacterCreate,
    access.WebhookCreate,
    access.WebhookChange,
    access.SecretRotate,
    access.KeyCreate,
    answers.Problem,
)
# model -> the field that a multipart body has a file in
_FORMS: dict[type[BaseModel], str] = {
    requests.VideoCreate: "input_reference",
    requests.GenerationCreate: "image_url",
    requests.VideoEdit: "video",
    requests.VideoExtend: "video",
}
_DESCRIPTION = (
    "Videos from words and pictures. Jobs are made by `POST /v1/videos` (OpenAI's fields and this server's own) or "
    "`POST /v1/videos/generations` (the documents' or xAI's), polled or followed as events, and downloaded."
)


def describe(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI 3.1 document of ``app``."""
    document = get_openapi(title=app.title, version=app.version, description=_DESCRIPTION, routes=app.routes)
    _, bodies = models_json_schema([(model, "validation") for model in _BODIES], ref_template=_REF)
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    schemas |= bodies["$defs"]
    for model, field in _FORMS.items():
        schemas[f"{model.__name__}Form"] = _form(schemas[model.__name__], field)
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    shared: dict[str, Any] = {}
    for path in document["paths"].values():
        for operation in path.values():
            operation["responses"] = {
                status: _shared(status, answer, shared)
                for status, answer in operation["responses"].items()
                # FastAPI's own, which a handler turns into a problem of status 400
                if "HTTPValidationError" not in json.dumps(answer)
            }
    document["components"]["responses"] = dict(sorted(shared.items()))
    # a number of its own, so that the document changes with the API alone
    document["info"]["version"] = "1"
    document["components"]["schemas"] = dict(sorted(schemas.items()))
    return document


def _shared(status: str, answer: dict[str, Any], shared: dict[str, Any]) -> dict[str, Any]:
    """``answer``, or a reference to it where it is one of the problems that many routes answer."""
    if "application/problem+json" not in answer.get("content", {}):
        return answer
    shared[f"Problem{status}"] = answer
    return {"$ref": f"#/components/responses/Problem{status}"}


def _form(schema: Mapping[str, Any], file: str) -> dict[str, Any]:
    """The multipart body of ``schema``: its plain fields as text, and ``file``."""
    plain = {name: field for name, field in schema["properties"].items() if name == file or _is_plain(field)}
    plain[file] = {
        "type": "string",
        "format": "binary",
        "description": schema["properties"][file].get("description", ""),
    }
    return {**schema, "title": f"{schema['title']}Form", "properties": plain}


def _is_plain(field: Mapping[str, Any]) -> bool:
    kinds = [field, *field.get("anyOf", ())]
    return not any(
        kind.get("type") in ("array", "object") or "$ref" in kind or "anyOf" in kind for kind in kinds[1:]
    ) and (field.get("type") not in ("array", "object"))


class _NoModels:
    """Enough of a planner to describe the API."""

    @property
    def models(self) -> Mapping[str, ModelCard]:
        """None."""
        return {}

    def resolve(self, request: GenerationRequest, *, rewrites: bool = True) -> Planned:
        """Refused: there is no model."""
        raise UnsupportedRequest("model", request.model, "this server has no models")

    def dry_run(self, planned: Planned) -> Mapping[str, Any]:
        """Of nothing that `resolve` gave."""
        raise UnsupportedRequest("model", planned.request.model, "this server has no models")


def document() -> str:
    """The text of docs/openapi.json."""
    from kinema.serve.api import keys
    from kinema.serve.api.app import create_app
    from kinema.serve.api.webhooks import webhook_routes
    from kinema.serve.blobs import BlobStore
    from kinema.serve.fetch import Guard
    from kinema.serve.jobs.store import open_store
    from kinema.serve.settings import Settings

    guard = Guard()
    with tempfile.TemporaryDirectory() as name:
        settings = Settings(data=Path(name))
        store = open_store(settings.database_url)
        try:
            app = create_app(
                settings=settings,
                store=store,
                blobs=BlobStore(settings.blobs),
                planner=_NoModels(),
                fetch=guard,
                clean=lambda data, field: data,
                routers=[webhook_routes(guard), keys.router],
            )
            return json.dumps(app.openapi(), ensure_ascii=False, indent=1) + "\n"
        finally:
            store.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Writes the API's description.")
    parser.add_argument("file", type=Path, nargs="?", default=Path("docs/openapi.json"))
    parser.parse_args().file.write_text(document(), encoding="utf-8")
