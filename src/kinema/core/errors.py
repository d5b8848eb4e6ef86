"""The error tree. Every error a caller can meet is drawn here.

    KinemaError
    ├── InvalidInput            a field with a value that breaks a rule (exit code 2)
    │   ├── UnsupportedRequest  well-formed, but this model or build can't do it
    │   │   └── MissingPackage  a package that isn't installed (an ImportError too)
    │   ├── RefusedContent      a prompt that the content checks object to
    │   ├── MediaError          a picture, video or sound file that can't be read or written
    │   ├── FetchError          a URL that may not be fetched, or didn't give what was asked for
    │   └── WeightsError        weights or model folders that don't fit (missing, extra, NaN, shape)
    ├── AccessError             a key that is missing, wrong or may not do this; a quota or rate that is used up
    ├── StorageError            the disk is full, read-only, or a path can't be made (exit code 2)
    ├── OutOfMemory             a phase of a run needs more memory than there is
    ├── TrainingError           a run that can't go on (diverged, or a checkpoint of another recipe)
    └── Cancelled               stopped on request (exit code 130)

What clients of the service meet besides is drawn in `kinema.client.errors`. Standard library only.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial

_SHOWN = 60
# of a path, which somebody may want to open
_SHOWN_PATH = 240


class KinemaError(Exception):
    """Base of all errors that Kinema raises on purpose; its text is one line, ready for a user."""

    exit_code = 1


class InvalidInput(KinemaError):
    """A field whose value breaks a rule.

    Args:
        field: the name the caller used (``"seconds"``, ``"--size"``, a path's role).
        value: what was given; the message shows it shortened (see `shown`).
        rule: what is wrong, and what would work.
    """

    exit_code = 2

    def __init__(self, field: str, value: object, rule: str) -> None:
        self.field, self.value, self.rule = field, value, rule
        super().__init__(f"{field}: {shown(value)}: {rule}")

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.field, self.value, self.rule)


class UnsupportedRequest(InvalidInput):
    """A well-formed request that this model can't serve; the rule names the nearest it can."""


class MissingPackage(UnsupportedRequest, ImportError):
    """What needs a package that isn't installed; the rule names the extra that brings it, ``name`` is the package."""


class RefusedContent(InvalidInput):
    """A prompt that asks for what the content checks refuse; the rule names the category and the words."""


class MediaError(InvalidInput):
    """A media file that is unreadable, truncated, empty or of an unknown kind."""


class FetchError(InvalidInput):
    """A URL that may not be fetched or didn't give what was asked for; ``code`` says which, ``retryable`` whether it may go well later.

    ``code`` is ``refused``, ``unreachable``, ``timeout``, ``status``, ``too_large`` or ``wrong_type``.
    """

    def __init__(self, field: str, value: object, rule: str, *, code: str = "refused") -> None:
        super().__init__(field, value, rule)
        self.code = code

    def __reduce__(self) -> tuple[object, ...]:
        return partial(type(self), code=self.code), (self.field, self.value, self.rule)

    @property
    def retryable(self) -> bool:
        """Whether the same may go well another time."""
        return self.code in ("unreachable", "timeout", "status")


class WeightsError(InvalidInput):
    """Weights that don't fit the model: tensors missing, unexpected, misshapen or not finite."""


class AccessError(KinemaError):
    """A caller who may not do this, or not now.

    ``code`` is ``auth.missing``, ``auth.invalid``, ``auth.origin``, ``auth.scope`` or, with ``retry_after_s``, ``rate.requests``,
    ``quota.queued``, ``quota.jobs``, ``quota.seconds``.
    """

    def __init__(self, message: str, *, code: str = "auth.invalid", retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.code, self.retry_after_s = code, retry_after_s

    def __reduce__(self) -> tuple[object, ...]:
        return partial(type(self), code=self.code, retry_after_s=self.retry_after_s), (str(self),)


class StorageError(KinemaError):
    """A place that can't be written: full, read-only, or not a folder."""

    exit_code = 2


class OutOfMemory(KinemaError):
    """A phase of a run that needs more memory than there is; the text says what to change."""


class TrainingError(KinemaError):
    """A training run that can't go on."""


class Cancelled(KinemaError):
    """Stopped on request, at a step boundary. Nothing half-written remains."""

    exit_code = 130

    def __init__(self, where: str = "cancelled") -> None:
        super().__init__(where)


def choices(names: Iterable[object]) -> str:
    """A readable list of what would work: ``one of a, b, c``."""
    return "one of " + ", ".join(str(n) for n in names)


def shown(value: object) -> str:
    """``value`` as an error shows it: one short line; of a long path the end, where the name stands, of all else the beginning."""
    if isinstance(value, os.PathLike):
        text = repr(os.fspath(value))
        return text if len(text) <= _SHOWN_PATH else f"{text[0]}...{text[4 - _SHOWN_PATH :]}"
    # whatever the value: an array's or a dict's own text may have several lines
    text = repr(value) if isinstance(value, str) else " ".join(str(value).split())
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."


@contextmanager
def needs_extra(extra: str, field: str, value: object) -> Iterator[None]:
    """Turns an import that fails within it into a `MissingPackage` that names Kinema's ``extra``; ``field``: what it is needed for."""
    try:
        yield
    except ImportError as e:
        package = e.name.partition(".")[0] if e.name else None
        first_line = (str(e).strip() or "a package").splitlines()[0]
        rule = f"needs {package or f'what is missing ({first_line})'}: pip install 'kinema[{extra}]'"
        error = MissingPackage(field, value, rule)
        error.name = package
        raise error from e


@contextmanager
def storage_errors(path: object) -> Iterator[None]:
    """Turns the operating system's write errors on ``path`` into a `StorageError` that says what to do."""
    try:
        yield
    except OSError as e:
        if e.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageError(f"{path}: no space left on the disk; free some or choose another folder") from e
        if e.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
            raise StorageError(f"{path}: not writable; choose another folder or change its permissions") from e
        if e.errno == errno.EFBIG:
            raise StorageError(f"{path}: grew past the file size allowed here; raise it or choose another disk") from e
        if e.errno in (errno.ENOENT, errno.ENOTDIR):
            raise StorageError(f"{path}: the folder does not exist; make it or choose another") from e
        if e.errno in (errno.EMFILE, errno.ENFILE):
            raise StorageError(f"{path}: too many files are open; close some or raise the limit (ulimit -n)") from e
        if e.errno == errno.ENAMETOOLONG:
            raise StorageError(f"{path}: the name is too long; choose a shorter one") from e
        if e.errno == errno.EISDIR:
            raise StorageError(f"{path}: is a folder; name a file") from e
        raise
