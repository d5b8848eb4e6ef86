"""Edits of the world's scenes as folders: the clip before, the clip after, what changed, and the words that ask for it."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from kinema.app.scenes import SceneChoice, seed_of_user
from kinema.core.errors import InvalidInput, StorageError
from kinema.core.geometry import VideoShape
from kinema.world.captions import LANGUAGES, caption


@dataclass(frozen=True, kw_only=True)
class WrittenEdit:
    """A folder with before.mp4, after.mp4, mask.mp4, mask.npy and edit.json; reference.png too, where the edit is about a subject."""

    folder: Path
    facts: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready dict."""
        return {"path": str(self.folder), **self.facts}


def write_edit(
    choice: SceneChoice, seed: int, out: str, *, shape: VideoShape, kind: str | None = None, overwrite: bool = False
) -> WrittenEdit:
    """An edit of the scene of ``seed`` (of ``kind``, or any) in a folder ``out`` of its own.

    Raises: InvalidInput, also for an edit that the scene allows none of; StorageError. The folder is whole or isn't there.
    """
    from kinema.world.edits import edit

    folder, seed = Path(out), seed_of_user(seed)
    _check_place(folder, overwrite=overwrite)
    change = edit(choice.scene(seed), seed=seed, kind=kind)
    part = folder.with_name(f"{folder.name}.part{os.getpid()}-{secrets.token_hex(4)}")
    try:
        part.mkdir()
        facts = _fill(part, change, {**choice.facts(seed)}, seed, shape)
        if folder.exists():
            shutil.rmtree(folder)
        part.rename(folder)
    except OSError as e:
        raise StorageError(f"{folder}: {e.strerror or e}") from e
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return WrittenEdit(folder=folder, facts=facts)


def _fill(folder: Path, change: Any, origin: dict[str, Any], seed: int, shape: VideoShape) -> dict[str, Any]:
    import numpy as np

    from kinema.media.write import VideoWriter, write_picture
    from kinema.world.edit_words import instruction
    from kinema.world.edits import edit_mask, reference_scene
    from kinema.world.render import render

    mask = edit_mask(change, shape).numpy()
    before, after = (r.frames.numpy() for r in render([change.before, change.after], shape) if r.frames is not None)
    shown = np.repeat(np.where(mask, 255, 0).astype(np.uint8)[..., None], 3, axis=-1)
    for name, frames in (("before", before), ("after", after), ("mask", shown)):
        with VideoWriter(folder / f"{name}.mp4", fps=shape.fps, num_frames=shape.frames) as writer:
            writer.write(frames)
    data = BytesIO()
    np.save(data, mask)
    (folder / "mask.npy").write_bytes(data.getvalue())
    if change.number is not None:
        scene = change.before if change.kind == "remove" else change.after
        still = VideoShape(frames=1, height_px=shape.height_px, width_px=shape.width_px, fps=shape.fps)
        reference = render([reference_scene(scene, change.number)], still)[0].frames
        assert reference is not None, "frames are the default output"
        write_picture(folder / "reference.png", reference[0].numpy())
    words = {"before": change.before, "after": change.after, "number": change.number}
    facts = {
        **origin,
        "edit": change.kind,
        "subject": change.number,
        "instructions": {name: instruction(change.kind, **words, language=name, seed=seed) for name in LANGUAGES},
        "before": change.before.to_dict(),
        "after": change.after.to_dict(),
        "captions": {
            name: {moment: caption(words[moment], language=name, seed=seed) for moment in ("before", "after")}
            for name in LANGUAGES
        },
    }
    (folder / "edit.json").write_text(json.dumps(facts, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    return facts


def _check_place(folder: Path, *, overwrite: bool) -> None:
    if not folder.name or folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise InvalidInput("out", str(folder), "must name a folder")
    if not folder.parent.is_dir():
        raise StorageError(f"{folder.parent}: the folder does not exist; make it or choose another")
    if folder.is_dir() and any(folder.iterdir()):
        if not overwrite:
            raise InvalidInput("out", str(folder), "exists already; --force replaces it, --out names another")
        if not (folder / "edit.json").is_file():
            raise InvalidInput("out", str(folder), "exists already and holds no edit, so --force leaves it alone")
