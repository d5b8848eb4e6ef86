"""Models of the Hugging Face hub: which are on this machine, and how one is downloaded.

The hub's client (the extra ``hub``) is imported where it is used. It keeps files in its own cache, resumes what was broken
off, and obeys ``HF_HUB_OFFLINE`` and the login that its own command made.
"""

from __future__ import annotations

import errno
import json
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kinema.core.errors import InvalidInput, StorageError, WeightsError, needs_extra, storage_errors
from kinema.core.progress import Observer, Progress, ignore_progress
from kinema.weights.files import PICKLE_SUFFIXES, has_variant

_ID = re.compile(r"(?!.*\.\.)(?P<id>[\w-][\w.-]*/[\w-][\w.-]*)(@(?P<revision>[\w-][\w./-]*))?")
_INDEX = "model_index.json"
_UNAUTHORISED = 401
# What a component needs; weights in pickles are left where they are.
_NEEDED_SUFFIXES = (".json", ".safetensors", ".txt", ".model")
_ROOT_FILES = (_INDEX, "card.json")


@dataclass(frozen=True, kw_only=True)
class Offer:
    """What the hub has under an id: the commit, the licence that its page states, and the files that Kinema needs with their bytes."""

    model: str
    revision: str
    commit: str
    license: str
    files: Mapping[str, int]

    @property
    def total_bytes(self) -> int:
        """Bytes of all files."""
        return sum(self.files.values())


def is_hub_id(text: str) -> bool:
    """Whether ``text`` has the form OWNER/NAME or OWNER/NAME@REVISION."""
    return _ID.fullmatch(text) is not None


def find_downloaded(model: str) -> Path | None:
    """The folder of a hub id (OWNER/NAME or OWNER/NAME@REVISION) that was downloaded before; None without it. No network."""
    try:
        from huggingface_hub import try_to_load_from_cache
    except ImportError:
        return None
    name, revision = _split(model)
    found = try_to_load_from_cache(name, _INDEX, revision=revision)
    return Path(found).parent if isinstance(found, str) else None


def downloaded_models() -> list[str]:
    """Ids of the models in the hub's cache that have a ``model_index.json``; with @REVISION where that isn't the main one."""
    try:
        from huggingface_hub import constants, scan_cache_dir
        from huggingface_hub.errors import CacheNotFound
    except ImportError:
        return []
    try:
        repos = scan_cache_dir(constants.HF_HUB_CACHE).repos
    except CacheNotFound:
        return []
    found = []
    for repo in repos:
        for revision in repo.revisions if repo.repo_type == "model" else ():
            if any(file.file_name == _INDEX for file in revision.files):
                is_main = "main" in revision.refs
                found.append(repo.repo_id if is_main else f"{repo.repo_id}@{revision.commit_hash}")
    return sorted(found)


def look_up(model: str, *, knows: Callable[[str], bool]) -> Offer:
    """What the hub has under ``model`` (OWNER/NAME or OWNER/NAME@REVISION).

    Its ``model_index.json`` is read first; ``knows(pipeline class)`` says whether the rest is worth its bytes.
    Raises: InvalidInput for an id or revision that doesn't exist, needs a login, or when the hub can't be reached;
    WeightsError for a model that Kinema couldn't read; MissingPackage without the hub's client.
    """
    name, revision = _split(model)
    with needs_extra("hub", "model", model):
        from huggingface_hub import HfApi, hf_hub_download

    with _hub_errors(model):
        info = HfApi().model_info(name, revision=revision, files_metadata=True)
        sizes = {f.rfilename: f.size or 0 for f in info.siblings or ()}
        commit = info.sha or revision or "main"
        if _INDEX not in sizes:
            rule = "has no model_index.json, so it is no model in the diffusers layout; look for one that ends in -Diffusers"
            raise WeightsError("model", model, rule)
        index = _read_index(Path(hf_hub_download(name, _INDEX, revision=commit)), model)
    pipeline = str(index.get("_class_name") or "")
    if "card.json" not in sizes and not pipeline:
        raise WeightsError("model", model, "has a model_index.json that names no pipeline (_class_name)")
    if "card.json" not in sizes and not knows(pipeline):
        raise WeightsError("model", model, f"is a {pipeline}, which this version doesn't know")
    components = [k for k, v in index.items() if isinstance(v, list) and any(v)]
    files = {n: size for n, size in sizes.items() if n in _ROOT_FILES or _is_needed(n, components)}
    _check_weights(model, sizes, components)
    license = _license_of(info.card_data)
    return Offer(model=name, revision=revision or "main", commit=commit, license=license, files=files)


def download(offer: Offer, *, observer: Observer = ignore_progress, shows_bars: bool = False) -> Path:
    """The folder with all files of ``offer``. What is there already is left, what was broken off goes on.

    The revision's name is written last, so that an unfinished download isn't taken for a model. ``shows_bars`` leaves the
    client's own bars on. Raises: InvalidInput as `look_up`, and for a revision that moved meanwhile; StorageError for a full
    disk; MissingPackage without the hub's client. After an error or an interrupt what was downloaded stays.
    """
    with needs_extra("hub", "model", offer.model):
        from huggingface_hub import constants, hf_hub_download, try_to_load_from_cache

    def is_here(file: str) -> bool:
        return isinstance(try_to_load_from_cache(offer.model, file, revision=offer.commit), str)

    missing = {file: size for file, size in offer.files.items() if not is_here(file)}
    _check_disk(Path(constants.HF_HUB_CACHE), sum(missing.values()))
    done = offer.total_bytes - sum(missing.values())
    with _hub_errors(offer.model), _bars(shows_bars):
        for file, size in sorted(missing.items()):
            observer(Progress(phase="download", step=done >> 20, steps=max(1, offer.total_bytes >> 20)))
            hf_hub_download(offer.model, file, revision=offer.commit)
            done += size
        path = Path(hf_hub_download(offer.model, _INDEX, revision=offer.revision)).parent
    if path.name != offer.commit:
        rule = f"{offer.revision} has moved on while it was downloaded; get it again, what is the same is kept"
        raise InvalidInput("model", offer.model, rule)
    observer(Progress(phase="download", step=max(1, done >> 20), steps=max(1, offer.total_bytes >> 20)))
    return path


@contextmanager
def _bars(are_shown: bool) -> Iterator[None]:
    """Within it the client draws bars, or doesn't."""
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    if are_shown or are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()


def _split(model: str) -> tuple[str, str | None]:
    match = _ID.fullmatch(model)
    if match is None:
        raise InvalidInput("model", model, "is no hub id; must be OWNER/NAME or OWNER/NAME@REVISION")
    return match["id"], match["revision"]


def _read_index(path: Path, model: str) -> dict[str, Any]:
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as e:
        raise WeightsError("model", model, f"has a broken model_index.json: {e}") from e
    if not isinstance(index, dict):
        raise WeightsError("model", model, "has a model_index.json that is no JSON object")
    return index


def _is_needed(file: str, components: Iterable[str]) -> bool:
    folder, _, name = file.rpartition("/")
    return folder in components and name.endswith(_NEEDED_SUFFIXES) and not has_variant(name)


def _check_weights(model: str, sizes: Mapping[str, int], components: Iterable[str]) -> None:
    for component in components:
        own = [n for n in sizes if n.startswith(f"{component}/")]
        has_weights = any(n.endswith(".safetensors") and _is_needed(n, (component,)) for n in own)
        if not has_weights and any(n.endswith(PICKLE_SUFFIXES) for n in own):
            rule = f"has its {component} in pickle files alone, which can run code and are not read"
            raise WeightsError("model", model, rule)


def _license_of(card_data: Any) -> str:
    for name in ("license_name", "license"):
        if value := getattr(card_data, name, None):
            return str(value)
    return "not stated"


def _check_disk(cache: Path, needed_bytes: int) -> None:
    place = next(p for p in (cache, *cache.parents) if p.exists())
    free = shutil.disk_usage(place).free
    if needed_bytes > free:
        rule = f"{needed_bytes / 1e9:.1f} GB are to be downloaded and {free / 1e9:.1f} GB are free; make room"
        raise StorageError(f"{cache}: {rule} or set HF_HOME to another disk")


@contextmanager
def _hub_errors(model: str) -> Iterator[None]:
    """Turns what the client raises into one line that says what to do."""
    from huggingface_hub import errors

    kept = "; try again, what was downloaded is kept"
    try:
        yield
    except errors.GatedRepoError as e:
        rule = "needs its licence accepted on its page and a login: `hf auth login`"
        raise InvalidInput("model", model, rule) from e
    except errors.RepositoryNotFoundError as e:
        rule = "is not on the hub, or is private: check the name, or log in with `hf auth login`"
        raise InvalidInput("model", model, rule) from e
    except errors.RevisionNotFoundError as e:
        raise InvalidInput("revision", model, "has no such revision; leave it out for the newest") from e
    except errors.OfflineModeIsEnabled as e:
        rule = "HF_HUB_OFFLINE keeps the hub's client off the network; unset it to look for the model there"
        raise InvalidInput("model", model, rule) from e
    except (errors.LocalEntryNotFoundError, errors.HfHubHTTPError) as e:
        if getattr(getattr(e, "response", None), "status_code", None) == _UNAUTHORISED:
            rule = "needs a login: `hf auth login` (or the token that is there has expired)"
            raise InvalidInput("model", model, rule) from e
        raise InvalidInput("model", model, f"the hub didn't answer ({_first_line(e)}){kept}") from e
    except (json.JSONDecodeError, UnicodeDecodeError) as e:  # before OSError, of which one library's own is a kind
        rule = "the answer isn't the hub's: a proxy or a login page? See what HF_ENDPOINT or https://huggingface.co shows in a browser"
        raise InvalidInput("model", model, rule) from e
    except OSError as e:
        if e.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES):
            with storage_errors(e.filename or "the hub's cache"):
                raise
        raise InvalidInput("model", model, f"the hub can't be reached ({_first_line(e)}){kept}") from e
    except Exception as e:
        # the client's own errors of the network are those of the library below it, which changes with its version
        if type(e).__module__.partition(".")[0] in ("httpx", "httpx2", "httpcore", "httpcore2", "requests"):
            raise InvalidInput("model", model, f"the hub can't be reached ({_first_line(e)}){kept}") from e
        raise


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
