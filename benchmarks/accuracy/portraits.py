"""Drawn portraits beside photographs cut as close: a corpus of both for `deepscan evaluate`.

    python benchmarks/accuracy/portraits.py photos.csv --real 'canada:*' portraits/portraits.csv output

Generators put out portraits that end close to the head. Beside ample photographs that alone would tell them
apart, so the photographs are cut to what the portraits show around a face, in the median.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from csv import DictWriter
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console

from deepscan.faces.tracker import Face, FaceEngine
from deepscan.inference.devices import CPU
from deepscan.training.data.corpora import Source, read_corpus
from deepscan.training.data.framing import Reach, reach_of, within
from deepscan.training.data.synthetic_test_set import COLUMNS, CORPUS
from deepscan.weights import Weights

QUALITY = 92
Picture = NDArray[np.uint8]


def main() -> None:
    parser = argparse.ArgumentParser(description="Cut photographs as close as drawn portraits.")
    parser.add_argument("photos", type=Path, help="CSV of genuine photographs")
    parser.add_argument("portraits", type=Path, help="CSV that tools.portraits writes")
    parser.add_argument("output", type=Path, help="folder for the photographs and the corpus.csv of both")
    parser.add_argument("--real", default="*", help="pattern of the photographed people")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    photos = [row for row in read_corpus(options.photos) if fnmatchcase(row.identity, options.real)]
    portraits = read_corpus(options.portraits)
    count = write(photos, portraits, options.output)
    Console().print(f"{count} photos in {options.output}; deepscan evaluate {options.output / CORPUS}")


def write(photos: Sequence[Source], portraits: Sequence[Source], folder: Path) -> int:
    """Cut the photographs and write the CSV; the number of pictures of both kinds that show a face."""
    engine = FaceEngine(Weights(None).face_path(), providers=[CPU], threads=1)
    seen = [(row, *look(row.file, engine)) for row in portraits]
    reaches = [reach_of_picture(picture, face) for _, picture, face in seen if face is not None]
    reach = np.median(np.stack(reaches), axis=0)
    rows = [(row, str(row.file.resolve())) for row, _, face in seen if face is not None]
    for row in photos:
        picture, face = look(row.file, engine)
        if face is not None:
            name = f"{row.file.stem}.jpg"
            rows_px, columns_px = within(reach, face.box, (picture.shape[0], picture.shape[1]))
            Image.fromarray(np.ascontiguousarray(picture[rows_px, columns_px])).save(
                folder / name, quality=QUALITY
            )
            rows.append((row, name))
    with (folder / CORPUS).open("w", newline="", encoding="utf-8") as file:
        table = DictWriter(file, COLUMNS)
        table.writeheader()
        for row, name in rows:
            facts = {key: getattr(row, key) for key in COLUMNS if key != "file"}
            table.writerow({"file": name, **facts})
    return len(rows)


def look(path: Path, engine: FaceEngine) -> tuple[Picture, Face | None]:
    """A picture and its largest face."""
    picture = np.asarray(Image.open(path).convert("RGB"), np.uint8)
    return picture, max(engine.detect(picture), key=lambda face: face.size_px, default=None)


def reach_of_picture(picture: Picture, face: Face) -> Reach:
    """How far the picture reaches around the face."""
    return reach_of((0, 0, picture.shape[1], picture.shape[0]), face.box)


if __name__ == "__main__":
    main()
