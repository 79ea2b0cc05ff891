"""Do many mixed files give the same report whatever the number of workers?

``python benchmarks/speed/jobs.py`` makes 300 files (fewer with ``--count``): cuts of the example clips in
several containers, their pictures as photos, and broken, cut off, empty and foreign files among them;
scans them with one worker and with two, and compares the JSON reports without their times. Exit code 1 where
they differ.

``--light`` uses the tests' tiny networks instead of those that ship.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import av
from PIL import Image

REPOSITORY = Path(__file__).parents[2]
sys.path.insert(0, str(REPOSITORY))

from tests.fixtures import make, spoil  # noqa: E402
from tests.fixtures.doubles import write_weights  # noqa: E402

EXAMPLES = [REPOSITORY / "examples" / name for name in ("real.mp4", "forged.mp4")]
FRAMES = 100  # of each example
Make = Callable[[Path, int], object]


def main() -> None:
    """Make the files, scan them twice, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--count", type=int, default=300, help="files to make (300)")
    parser.add_argument("--light", action="store_true", help="tiny networks instead of those that ship")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="deepscan-jobs-") as place:
        folder = Path(place, "media")
        folder.mkdir()
        for number, (suffix, write) in enumerate(islice(cycle(KINDS), options.count)):
            write(folder / f"{number:03}{suffix}", number)
        weights = write_weights(Path(place, "weights")) if options.light else None
        one, two = (scanned(folder, jobs, weights) for jobs in (1, 2))
    print(dict(Counter(file["status"] for file in one["files"])))
    print(dict(Counter(file["verdict"] for file in one["files"])))
    differing = [
        left["path"] for left, right in zip(one["files"], two["files"], strict=True) if left != right
    ]
    same = one == two
    print(f"{len(one['files'])} files: " + ("the same report" if same else f"{len(differing)} files differ"))
    for path in differing:
        print(path)
    sys.exit(0 if same else 1)


def scanned(folder: Path, jobs: int, weights: Path | None) -> dict[str, Any]:
    """The JSON report of a run, without what two runs may differ in: times and the number of workers."""
    command = [
        sys.executable,
        "-m",
        "deepscan",
        str(folder),
        "--json",
        "--device",
        "cpu",
        "--jobs",
        str(jobs),
    ]
    command += [] if weights is None else ["--weights", str(weights)]
    started = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY)
    if done.returncode not in (0, 1, 3):
        sys.exit(done.stderr)
    print(f"--jobs {jobs}: exit code {done.returncode}, {time.perf_counter() - started:.0f} s")
    report: dict[str, Any] = json.loads(done.stdout)
    report["settings"].pop("jobs", None)
    for file in report["files"]:
        del file["seconds"]
    return report


def pictures(number: int, count: int) -> Iterator[Any]:
    """Consecutive frames of an example, from another place for every number, ``(512, 512, 3)`` uint8."""
    first = number * 7 % (FRAMES - count)
    with av.open(str(EXAMPLES[number // len(KINDS) % 2])) as file:
        for frame in islice(file.decode(video=0), first, first + count):
            yield frame.to_ndarray(format="rgb24")


def clip(path: Path, number: int) -> Path:
    """A cut of an example, 0.4 to 1.2 s."""
    return make.write_clip(path, list(pictures(number, 10 + number % 21)), fps=25)


def photo(path: Path, number: int) -> Path:
    """A frame of an example."""
    Image.fromarray(next(pictures(number, 1))).save(path)
    return path


def spoilt(write: Callable[[Path, int], Path], change: Callable[[Path, Path], object]) -> Make:
    """A damaged copy of a file."""

    def write_spoilt(path: Path, number: int) -> None:
        whole = write(path.with_name(f"whole{path.suffix}"), number)
        change(whole, path)
        whole.unlink()

    return write_spoilt


def flipped(whole: Path, path: Path) -> object:
    """A copy with 20 bytes flipped."""
    return make.flipped(whole, path, 20, seed=3)


def doubled(whole: Path, path: Path) -> object:
    """The file twice in one."""
    return spoil.appended(whole, whole, path)


KINDS: tuple[tuple[str, Make], ...] = (
    (".mp4", clip),
    (".jpg", photo),
    (".mkv", spoilt(clip, make.cut_off)),
    (".png", photo),
    (".mp4", spoilt(clip, flipped)),
    (".webp", photo),
    (".mp4", lambda path, _: path.touch()),
    (".mkv", clip),
    (".jpg", spoilt(photo, make.cut_off)),
    (".mp4", spoilt(clip, doubled)),
    (".mp4", lambda path, number: path.write_text(f"no video {number}")),
    (".ts", clip),
    (".gif", lambda path, number: make.animated_gif(path, 5 + number % 10)),
    (".mp4", lambda path, _: make.faceless_clip(path)),
    (".mp4", lambda path, _: path.symlink_to(path.with_name("nowhere"))),
)


if __name__ == "__main__":
    main()
