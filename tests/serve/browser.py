"""Chromium or Chrome from the system's packages, without a window."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MISSING = "no Chromium or Chrome in PATH; apt install chromium-headless-shell (or chromium)"
_NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_OPTIONS = (
    "--headless",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--no-proxy-server",
    # it refuses root, and needs what containers forbid; the page is the test's own
    "--no-sandbox",
    # nothing but this machine
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    # without it, or another task, the window-less one ends when the page is there
    "--remote-debugging-port=0",
)


def find_browser() -> str | None:
    """Its program."""
    return next((found for name in _NAMES if (found := shutil.which(name))), None)


@contextmanager
def opened(program: str, url: str, profile: Path) -> Iterator[None]:
    """A browser that shows ``url``, and keeps what it writes in ``profile``."""
    options = [*_OPTIONS, f"--user-data-dir={profile}"]
    with (profile.parent / "browser.log").open("wb") as log:
        process = subprocess.Popen([program, *options, url], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
