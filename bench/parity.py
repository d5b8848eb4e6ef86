"""Do published models give the reference's numbers? Every component and every whole pipeline, ours beside diffusers' and transformers'.

Their classes are built with small random weights, in several odd configurations each, saved as they save them, loaded by ours and
asked the same. A row tells, as the worst of its configurations: the largest difference in fp32 (of latents, for pipelines) and in
grey levels of the frames shown; our error in bf16 over the reference's own; and ours beside itself: a sample in a batch and
alone, weights that come from disk and weights that stay, streamed and whole, cut into exact parts and whole. Ends with 1 if
anything is out of its bound. No published weights are run.

``--rows TEXT`` makes those rows alone whose names have the text, such as LTX; they are printed, and no file is written.

python bench/parity.py [--out FOLDER] [--rows TEXT]
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

from record import RESULTS, ROOT, record

sys.path[:0] = [str(ROOT), str(ROOT / "src")]
os.environ["HF_HUB_OFFLINE"] = "1"  # nothing is looked up

import torch  # noqa: E402
from diffusers.utils import logging as diffusers_logging  # noqa: E402
from parity_rows.measure import BOUNDS, Row  # noqa: E402
from parity_rows.networks import network_row, networks  # noqa: E402
from parity_rows.pipelines import pipeline_rows  # noqa: E402
from parity_rows.sampling import sampling_rows  # noqa: E402
from parity_rows.words import word_rows  # noqa: E402
from transformers.utils import logging as transformers_logging  # noqa: E402

HEADINGS = {
    "fp32": "fp32 max-abs", "frames": "grey levels", "bf16": "bf16 ratio", "batch": "batch-alone",
    "offload": "offloaded", "stream": "streamed", "tiles": "exact parts",
}  # fmt: skip


def rows(root: Path, text: str = "") -> Iterator[Row]:
    """The table, a row at a time; those whose names have ``text``."""
    for network in networks():
        if text in network.what:
            yield network_row(network, root)
    # these take seconds, wanted or not
    yield from (row for row in (*word_rows(root), *sampling_rows()) if text in row.what)
    yield from pipeline_rows(root, text)


def line(row: Row) -> str:
    """A row of the table as it is printed; a dash where a column doesn't apply."""
    cells = [f"{row.columns[c]:.2g}" if c in row.columns else "-" for c in HEADINGS]
    return f"{row.what:<66}{len(row.cases):>8}" + "".join(f"{cell:>14}" for cell in cells) + f"{row.seconds:>9.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--rows", default="", metavar="TEXT")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    diffusers_logging.set_verbosity_error()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    # one thread sums in one order, so weights that come and go can be held to the same bits
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    print(f"{'':<66}{'configs':>8}" + "".join(f"{h:>14}" for h in HEADINGS.values()) + f"{'seconds':>9}")
    table: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="kinema-parity-") as folder:
        for row in rows(Path(folder), arguments.rows):
            print(line(row), flush=True)
            table.append(row)
    print(f"{'bounds':<74}" + "".join(f"{BOUNDS[c]:>14g}" for c in HEADINGS))
    broken = [text for row in table for text in row.broken]
    if not table:
        raise SystemExit(f"--rows {arguments.rows}: no row has that in its name")
    if not arguments.rows:
        record_table(table, broken, arguments.out)
    if broken:
        raise SystemExit("\n".join(broken))


def record_table(table: Sequence[Row], broken: Sequence[str], folder: Path) -> None:
    """Writes the whole table."""
    record(
        "parity",
        {
            "configurations": sum(len(row.cases) for row in table),
            "bounds": BOUNDS,
            "worst": {c: float(f"{max(r.columns.get(c, 0.0) for r in table):.3g}") for c in BOUNDS},
            "broken": list(broken),
            "seconds": round(sum(row.seconds for row in table), 1),
            "rows": [row.to_dict() for row in table],
        },
        folder=folder,
    )


if __name__ == "__main__":
    main()
