"""Videos, animations and pictures written from frames, the kind of file chosen by its name.

| name | what |
|---|---|
| .mp4 .m4v .mov | H.264, and AAC where there is sound |
| .gif .webp | animations (webp: one frame is a picture) |
| .png .jpg .jpeg | one picture |
| clip_%04d.png, folder/ | a picture per frame |

Writing is streamed: frames are encoded in a thread of their own while the caller makes the next, in constant memory (GIF and WebP
grow with their encoded size).
The file appears whole at the end or, after any error or interrupt, not at all.
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, TypeAlias

import numpy as np

from kinema.core.errors import InvalidInput
from kinema.core.progress import Observer, Progress
from kinema.media.arrays import Fps, PathLike, Picture, as_chunk, exact_fps
from kinema.media.audio import Audio
from kinema.media.digest import FramesDigest
from kinema.media.encoders import Settings, check, encoder_for
from kinema.media.files import output_path, writing
from kinema.media.quality import DEFAULT_QUALITY
from kinema.media.quality import quality as quality_level
from kinema.media.recipe import to_text

Recipe: TypeAlias = "Mapping[str, Any] | Callable[[str], Mapping[str, Any]]"

_WAITING_FRAMES = 8
_POLL_S = 0.1


@dataclass(frozen=True, kw_only=True)
class WrittenFile:
    """What was written. ``frames_digest`` is over the raw frames (see `kinema.media.digest`); ``notes`` say what differs from them."""

    path: Path
    num_frames: int
    width_px: int
    height_px: int
    fps: Fraction
    size_bytes: int
    frames_digest: str
    notes: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        """From the first frame's start to the last frame's end."""
        return float(self.num_frames / self.fps)


def write_video(
    path: PathLike,
    frames: Iterable[np.ndarray],
    *,
    fps: Fps,
    quality: str = DEFAULT_QUALITY,
    audio: Audio | None = None,
    recipe: Recipe | None = None,
    on_progress: Observer | None = None,
) -> WrittenFile:
    """What was written to ``path`` from ``frames``: a uint8 array (t h w 3), or chunks of it as they come.

    ``audio`` is cut where the picture ends. ``recipe`` is read after the last frame; a function gets the frames' digest.

    Raises: InvalidInput, StorageError; whatever the frames' iterator raises. No file is left then.
    """
    is_array = isinstance(frames, np.ndarray)
    chunks = [frames] if is_array else frames
    num_frames = len(as_chunk(frames)) if is_array else None
    writer = VideoWriter(path, fps=fps, quality=quality, audio=audio, num_frames=num_frames, on_progress=on_progress)
    with writer:
        writer.recipe = recipe
        for chunk in chunks:
            writer.write(chunk)
    return writer.result


def write_picture(
    path: PathLike, picture: Picture, *, quality: str = DEFAULT_QUALITY, recipe: Recipe | None = None
) -> WrittenFile:
    """What was written to ``path`` from one picture (h w 3). Raises: InvalidInput, StorageError."""
    return write_video(path, picture[None], fps=1, quality=quality, recipe=recipe)


class VideoWriter:
    """A file being written, as a context manager: `write` chunks, and read `result` afterwards.

    Path, folder, rate and sound are checked at once, before anybody spends minutes on frames. `recipe` may be set until the end of
    the ``with`` block. Leaving the block by an exception leaves no file.

    Raises: InvalidInput, StorageError; from `write` and the end of the block also what the encoder met.
    """

    def __init__(
        self,
        path: PathLike,
        *,
        fps: Fps,
        quality: str = DEFAULT_QUALITY,
        audio: Audio | None = None,
        num_frames: int | None = None,
        on_progress: Observer | None = None,
    ) -> None:
        self._path = output_path(path)
        is_folder = str(path).endswith(("/", os.sep)) or (os.path.isdir(self._path) and not self._path.suffix)
        self._settings = Settings(fps=exact_fps(fps), quality=quality_level(quality), audio=audio)
        check(self._path, self._settings, num_frames=num_frames, is_folder=is_folder)
        self.recipe: Recipe | None = None
        self._num_frames, self._on_progress = num_frames, on_progress
        self._digest = FramesDigest()
        self._size = (0, 0)
        self._num_encoded = 0
        self._waiting: queue.Queue[Picture | None] = queue.Queue(maxsize=_WAITING_FRAMES)
        self._error: BaseException | None = None
        self._is_aborted = threading.Event()
        self._result: WrittenFile | None = None
        with writing(self._path):
            self._encoder = encoder_for(self._path, is_folder=is_folder)(self._path, self._settings)
        self._thread = threading.Thread(target=self._encode, name="kinema-encoder", daemon=True)
        self._thread.start()

    @property
    def result(self) -> WrittenFile:
        """What was written, once the block has ended well."""
        assert self._result is not None, "the file isn't finished"
        return self._result

    def write(self, chunk: np.ndarray) -> None:
        """Takes a chunk (t h w 3) or a picture (h w 3); waits while the encoder is behind. The array may be changed afterwards."""
        for frame in as_chunk(chunk):
            height, width = frame.shape[:2]
            if self._size not in ((0, 0), (height, width)):
                rule = f"must be {self._size[1]}x{self._size[0]} like the frames before"
                raise InvalidInput("frames", f"{width}x{height}", rule)
            self._size = (height, width)
            self._put(frame.copy())
            self._report()

    def close(self) -> WrittenFile:
        """Finishes the file and puts it in place. Raises as `write` does, and leaves no file then."""
        if self._result is not None:
            return self._result
        try:
            self._put(None)
            while self._thread.is_alive():  # not one long join: Ctrl-C is only noticed between waits on some systems
                self._thread.join(_POLL_S)
            self._raise_error()
            if not self._num_encoded:
                raise InvalidInput("frames", 0, "must be at least one frame")
            digest = self._digest.value()
            recipe = self.recipe(digest) if callable(self.recipe) else self.recipe
            text = None if recipe is None else to_text(recipe)
            with writing(self._path):
                self._encoder.finish(text)
        except BaseException:
            self.abort()
            raise
        self._result = self._written(digest)
        self._report()
        return self._result

    def abort(self) -> None:
        """Stops and leaves no file. Does nothing once the file is finished."""
        if self._result is not None:
            return
        self._is_aborted.set()
        with contextlib.suppress(queue.Empty):
            while True:
                self._waiting.get_nowait()
        self._thread.join()
        self._encoder.discard()

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None:
            self.abort()
        elif not self._is_aborted.is_set():
            self.close()

    def _put(self, frame: Picture | None) -> None:
        while True:
            self._raise_error()
            try:
                self._waiting.put(frame, timeout=_POLL_S)
                return
            except queue.Full:
                continue

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error

    def _report(self) -> None:
        if self._on_progress is not None:
            # steps is 0 while nobody knows how many frames will come
            steps = self._num_frames or (self._num_encoded if self._result else 0)
            self._on_progress(Progress(phase="write", step=self._num_encoded, steps=steps))

    def _encode(self) -> None:
        """The thread: encodes frames until the end, an error or an abort."""
        try:
            while not self._is_aborted.is_set():
                try:
                    frame = self._waiting.get(timeout=_POLL_S)
                except queue.Empty:
                    continue
                if frame is None:
                    return
                self._digest.update(frame)
                with writing(self._path):
                    self._encoder.add(frame)
                self._num_encoded += 1
        # whatever it is, the caller's thread raises it
        except BaseException as e:
            self._error = e

    def _written(self, digest: str) -> WrittenFile:
        return WrittenFile(
            path=self._path,
            num_frames=self._num_encoded,
            width_px=self._size[1],
            height_px=self._size[0],
            fps=self._settings.fps,
            size_bytes=sum(path.stat().st_size for path in self._encoder.paths),
            frames_digest=digest,
            notes=tuple(self._encoder.notes),
        )
