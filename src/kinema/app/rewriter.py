"""`ChatRewriter`: a prompt rewritten by a language model behind an OpenAI-compatible chat endpoint, local or remote."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

from kinema.core.errors import InvalidInput
from kinema.prompt.lexicon import Vocabulary
from kinema.prompt.normalise import language, normalise

MAX_ANSWER_BYTES = 1 << 20
_MAX_PROMPT = 2000
_MAX_REASON = 120
_THOUGHTS = re.compile(r"<think>.*?</think>", re.DOTALL)
_LABEL = re.compile(r"^(?:rewritten prompt|prompt|caption|改写后的?提示词|提示词)\s*[:：]\s*", re.IGNORECASE)
_TASK = (
    "You rewrite what a user asks of a text-to-video model into one plain sentence that describes the clip: who or what, its "
    "colour, what it "
    "does, where, when, the weather, then the camera. Keep the user's language and meaning, add nothing that was not asked for, "
    "and leave "
    "out politeness and talk of quality. Answer with the sentence alone."
)
_TONGUES = {"en": "English", "zh": "Chinese"}


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Where a redirect leads, the key must not go."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


@dataclass(frozen=True, kw_only=True)
class ChatRewriter:
    """Asks ``url`` (the base that ends in /v1, or the whole path of its chat completions) for ``model``. ``key`` is sent as a bearer token.

    Raises: InvalidInput for a URL that isn't http or https.
    """

    url: str
    model: str = "default"
    key: str | None = field(default=None, repr=False)
    timeout_s: float = 30.0

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InvalidInput("rewriter", self.url, "must be an http or https URL, such as http://localhost:11434/v1")

    @property
    def endpoint(self) -> str:
        """Where the question goes."""
        base = self.url.rstrip("/")
        return base if base.endswith("/chat/completions") else f"{base}/chat/completions"

    def __call__(self, prompt: str, vocabulary: Vocabulary) -> str:
        """``prompt`` rewritten, in words of ``vocabulary`` where there is one. Raises: InvalidInput naming the endpoint and what failed."""
        body = {
            "model": self.model,
            "messages": [
                {"role": "system", "content": _instructions(prompt, vocabulary)},
                {"role": "user", "content": prompt},
            ],
            "temperature": 0,
            "seed": 0,
            "stream": False,
        }
        return self._prompt_in(self._ask(json.dumps(body).encode()))

    def _ask(self, body: bytes) -> bytes:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        request = urllib.request.Request(self.endpoint, data=body, headers=headers, method="POST")
        try:
            with urllib.request.build_opener(_NoRedirects).open(request, timeout=self.timeout_s) as answer:
                data = answer.read(MAX_ANSWER_BYTES + 1)
        except urllib.error.HTTPError as e:
            with e:
                reason = _reason(e.read(MAX_ANSWER_BYTES)) or e.reason
            raise self._failed(f"answered {e.code}: {reason}") from e
        except TimeoutError as e:
            raise self._failed(f"did not answer within {self.timeout_s:g} s") from e
        except urllib.error.URLError as e:
            is_late = isinstance(e.reason, TimeoutError)
            raise self._failed(
                f"did not answer within {self.timeout_s:g} s" if is_late else f"can't be reached: {e.reason}"
            ) from e
        except (OSError, HTTPException, ValueError) as e:
            raise self._failed(f"can't be reached: {e}") from e
        if len(data) > MAX_ANSWER_BYTES:
            raise self._failed(f"answered with more than {MAX_ANSWER_BYTES} bytes")
        return data

    def _prompt_in(self, data: bytes) -> str:
        try:
            text = json.loads(data)["choices"][0]["message"]["content"]
        except (ValueError, LookupError, TypeError) as e:
            raise self._failed("answered with something other than a chat completion") from e
        if not isinstance(text, str):
            raise self._failed("answered without text")
        lines = [line.strip() for line in _THOUGHTS.sub("", text).splitlines() if line.strip()]
        prompt = normalise(" ".join(lines)).strip("\"'`“”「」 ")
        prompt = _LABEL.sub("", prompt).strip("\"'`“”「」 ")
        if not prompt or len(prompt) > _MAX_PROMPT:
            raise self._failed(
                "answered with an empty prompt" if not prompt else f"answered with more than {_MAX_PROMPT} characters"
            )
        return prompt

    def _failed(self, what: str) -> InvalidInput:
        return InvalidInput(
            "rewriter", self.endpoint, f"{what}; leave --rewriter out for the rules, or --no-rewrite for your own words"
        )


def _instructions(prompt: str, vocabulary: Vocabulary) -> str:
    tongue = language(prompt)
    lines = [_TASK, f"Write in {_TONGUES[tongue]}."]
    if vocabulary:
        lines.append("The model knows these words only; choose the nearest:")
    for attribute, values in vocabulary.items():
        if attribute != "grammar":
            own = (_own_words(words, tongue) for words in values.values())
            lines.append(f"- {attribute}: {', '.join(w for ws in own for w in ws)}")
    return "\n".join(lines)


def _own_words(words: Any, tongue: str, most: int = 3) -> list[str]:
    return [w for w in words if language(w) == tongue][:most]


def _reason(body: bytes) -> str:
    """What an error's body says, on one line: OpenAI's shape, or its beginning."""
    text = body.decode("utf-8", "replace")
    try:
        error = json.loads(text)["error"]
        text = str(error.get("message", error) if isinstance(error, dict) else error)
    except (ValueError, LookupError, TypeError):
        pass
    text = " ".join(text.split())
    return text if len(text) <= _MAX_REASON else text[:_MAX_REASON] + "..."
