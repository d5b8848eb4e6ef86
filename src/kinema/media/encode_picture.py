"""Encoders of still pictures, through Pillow: one picture, or a numbered one for each frame."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from kinema.core.errors import InvalidInput, StorageError
from kinema.media.arrays import Picture
from kinema.media.encode_video import Settings
from kinema.media.files import AtomicFile, writing
from kinema.media.quality import Quality
from kinema.media.recipe import PNG_KEY, jpeg_segments, xmp_packet

_NUMBERED = re.compile(r"%(?:0(\d+))?d")


class PictureEncoder:
    """One picture: png, jpg or webp."""

    def __init__(self, target: Path, settings: Settings) -> None:
        self.notes: list[str] = []
        self.paths = [target]
        self._settings = settings
        self._final = AtomicFile(target)
        self._frame: Picture | None = None

    def add(self, frame: Picture) -> None:
        """Takes the next frame."""
        if self._frame is not None:
            raise one_picture(self._final.target)
        self._frame = frame

    def finish(self, recipe: str | None) -> None:
        """Puts the file in place."""
        assert self._frame is not None
        suffix = self._final.target.suffix.lower()
        save_picture(self._frame, self._final.path, suffix, quality=self._settings.quality, recipe=recipe)
        self._final.commit()

    def discard(self) -> None:
        """Leaves nothing."""
        self._final.discard()


class SequenceEncoder:
    """A PNG per frame: ``clip_%04d.png``, or a folder. The recipe is in the first. Existing frames are never mixed with new ones."""

    def __init__(self, target: Path, settings: Settings) -> None:
        del settings
        self.notes: list[str] = []
        self.paths: list[Path] = []
        self._folder, self._pattern, self._is_own_folder = target.parent, target.name, False
        is_folder = not is_numbered(target)
        if is_folder:
            self._folder, self._pattern = target, "frame_%05d.png"
        with writing(self._folder):
            if is_folder and not self._folder.exists():
                self._folder.mkdir()
                self._is_own_folder = True
            self._refuse_mixing()
        self._first: Picture | None = None
        self._files: list[AtomicFile] = []

    def add(self, frame: Picture) -> None:
        """Takes the next frame."""
        self._files.append(AtomicFile(self._folder / _numbered(self._pattern, len(self._files))))
        self.paths.append(self._files[-1].target)
        if self._first is None:
            self._first = frame
        else:
            save_picture(frame, self._files[-1].path, ".png")

    def finish(self, recipe: str | None) -> None:
        """Puts the file in place."""
        assert self._first is not None
        save_picture(self._first, self._files[0].path, ".png", recipe=recipe)
        for file in self._files:
            file.commit()

    def discard(self) -> None:
        """Leaves nothing."""
        for file in self._files:
            file.discard()
            if file.is_committed:
                file.target.unlink(missing_ok=True)
        if self._is_own_folder:
            with contextlib.suppress(OSError):  # somebody else put something in
                self._folder.rmdir()

    def _refuse_mixing(self) -> None:
        head, _, tail = _NUMBERED.split(self._pattern)
        numbered = re.compile(re.escape(head) + r"\d+" + re.escape(tail))
        for path in self._folder.iterdir():
            if numbered.fullmatch(path.name):
                raise StorageError(
                    f"{self._folder}: already holds frames ({path.name}); remove them or name a new folder"
                )


def is_numbered(target: Path) -> bool:
    """Whether the name is a pattern for numbered pictures, such as ``clip_%04d.png``."""
    return len(_NUMBERED.findall(target.name)) == 1


def _numbered(pattern: str, number: int) -> str:
    return _NUMBERED.sub(lambda found: str(number).zfill(int(found[1] or 1)), pattern)


def save_picture(
    picture: Picture, path: Path, suffix: str, *, quality: Quality | None = None, recipe: str | None = None
) -> None:
    """Writes one picture file of the kind that ``suffix`` names."""
    image = Image.fromarray(picture)
    level = quality.picture if quality else 100
    if suffix == ".png":
        info = PngInfo()
        if recipe is not None:
            info.add_itxt(PNG_KEY, recipe)
        image.save(path, "PNG", pnginfo=info)
    elif suffix == ".webp":
        image.save(
            path, "WEBP", quality=level, lossless=level == 100, method=4, xmp=xmp_packet(recipe) if recipe else b""
        )
    else:
        # no chroma subsampling where quality is asked for
        subsampling = "4:4:4" if level >= 90 else "4:2:0"
        extra = jpeg_segments(recipe) if recipe else b""
        image.save(path, "JPEG", quality=min(level, 98), subsampling=subsampling, optimize=True, extra=extra)


def one_picture(target: Path) -> InvalidInput:
    """The error for a clip that is to go into a picture file."""
    return InvalidInput("path", target, "holds one picture, not a clip; use .mp4, .gif, .webp or clip_%04d.png")
