"""Server-sent events, read from bytes that are cut anywhere. Pure."""

from __future__ import annotations

import codecs
import re

_BREAK = re.compile(r"\r\n|\n|\r")


class EventParser:
    """Takes ``text/event-stream`` piece by piece and gives the data of each event that is whole.

    ``retry_s`` is how long the server would have its readers wait before they come back, if it said so.

    Source: https://html.spec.whatwg.org/multipage/server-sent-events.html
    """

    def __init__(self) -> None:
        # a mark of the byte order may begin the stream
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
        self._rest = ""
        self._data: list[str] = []
        self.retry_s: float | None = None

    def feed(self, piece: bytes) -> list[str]:
        """The data of the events that end in ``piece``."""
        text = self._rest + self._decoder.decode(piece)
        # the other half of a line's end may be in the next piece
        held = "\r" if text.endswith("\r") else ""
        *lines, self._rest = _BREAK.split(text.removesuffix(held))
        self._rest += held
        return [data for line in lines if (data := self._line(line)) is not None]

    def _line(self, line: str) -> str | None:
        if not line:
            data, self._data = "\n".join(self._data), []
            return data or None
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "retry" and value.isdecimal():
            self.retry_s = int(value) / 1000
        return None
