"""The frame in the middle of every file of a corpus as a JPEG, and a corpus CSV of them: what photos give."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from csv import DictWriter
from pathlib import Path

import av
from rich.console import Console

from deepscan.training.data.corpora import Source, read_corpus
from deepscan.training.data.synthetic_test_set import COLUMNS, CORPUS

QUALITY = 92


def main() -> None:
    parser = argparse.ArgumentParser(description="Make photos of the videos of a corpus.")
    parser.add_argument("corpus", type=Path, help="CSV as `deepscan train synthetic-test-set` writes it")
    parser.add_argument("output", type=Path, help="folder for the photos and their corpus.csv")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    count = write(read_corpus(options.corpus), options.output)
    Console().print(f"{count} photos in {options.output}; deepscan evaluate {options.output / CORPUS}")


def write(sources: Iterable[Source], folder: Path) -> int:
    """Write the photos and the CSV; the number of photos."""
    count = 0
    with (folder / CORPUS).open("w", newline="", encoding="utf-8") as file:
        table = DictWriter(file, COLUMNS)
        table.writeheader()
        for source in sources:
            name = f"{source.file.stem}.jpg"
            middle_frame(source.file).to_image().save(folder / name, quality=QUALITY)
            facts = {key: getattr(source, key) for key in COLUMNS if key != "file"}
            table.writerow({"file": name, **facts})
            count += 1
    return count


def middle_frame(path: Path) -> av.VideoFrame:
    """The frame in the middle of a short video."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    return frames[len(frames) // 2]


if __name__ == "__main__":
    main()
