"""A small prepared cache that many training tests read and none changes, made once."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from deepscan.detectors import SPECS
from deepscan.detectors.gml.network import Gml
from deepscan.faces.mesh import FaceMesh
from deepscan.faces.tracker import FaceEngine
from deepscan.training.config import TrainConfig
from deepscan.training.data.pairs import OwnPairs
from deepscan.training.data.prepare import Sample, Split, load_index, prepare
from deepscan.training.fit.trainer import train
from deepscan.training.synthesis.degradation import Degradation
from tests.fixtures import make

FACES = Path(__file__).parents[2] / "weights" / "faces"
COLUMNS = ("file", "label", "identity", "source", "licence", "kind")
VALIDATED = Split(patterns=("v-*",))
CONFIG = TrainConfig("local_features", steps=3, pairs=1, warmup=1, seed=5)


def write_corpus(path: Path, rows: Sequence[tuple[str, str, str]]) -> Path:
    """A corpus CSV of (file, label, identity)."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(COLUMNS)
        writer.writerows((*row, "made", "none", "") for row in rows)
    return path


@dataclass(frozen=True)
class Prepared:
    """A cache, the corpus it was made from, and what came of each file."""

    cache: Path
    corpus: Path
    outcomes: dict[str, str]
    samples: list[Sample]

    def one(self, kind: str, split: str = "train") -> Path:
        """Folder of the one real sample of a kind."""
        (sample,) = (s for s in self.samples if (s.kind, s.split, s.label) == (kind, split, "real"))
        return self.cache / sample.folder


@pytest.fixture(scope="session")
def engine() -> FaceEngine:
    return FaceEngine(FACES / "retinaface_mnet025.onnx", providers=["CPUExecutionProvider"], threads=1)


@pytest.fixture(scope="session")
def mesh() -> FaceMesh:
    return FaceMesh(FACES / "facemesh_468.onnx")


@pytest.fixture(scope="session")
def portrait_mesh(engine: FaceEngine, mesh: FaceMesh) -> NDArray[np.float32]:
    """Mesh ``(468, 2)`` of ``make.portrait()``."""
    face = engine.detect(make.portrait())[0]
    found = mesh.find(make.portrait(), face.box, face.points)
    assert found is not None
    return found


@pytest.fixture(scope="session")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoint of a GML to distil from; untrained, its maps still differ from place to place."""
    torch.manual_seed(3)
    path = tmp_path_factory.mktemp("teacher") / "checkpoint.pt"
    torch.save({"model": Gml().state_dict(), "step": 0}, path)
    return path


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory, engine: FaceEngine, mesh: FaceMesh) -> Prepared:
    """Two real clips (one validated on), a real and a fake photo of one name, and a file that is broken."""
    root = tmp_path_factory.mktemp("corpus")
    make.portrait_clip(root / "train.mp4", 3.0)
    make.portrait_clip(root / "val.mp4", 1.0)
    for folder, size in (("real", 256), ("fake", 200)):
        (root / folder).mkdir()
        Image.fromarray(make.portrait(size)).save(root / folder / "photo.png")
    make.faceless_clip(root / "nobody.mp4", 0.4)
    (root / "broken.mp4").write_bytes(b"not a video")
    corpus = write_corpus(
        root / "corpus.csv",
        [
            ("train.mp4", "real", "ann"),
            ("val.mp4", "real", "v-bob"),
            ("real/photo.png", "real", "cid"),
            ("fake/photo.png", "fake", "dora"),
            ("nobody.mp4", "real", "eve"),
            ("broken.mp4", "real", "fred"),
        ],
    )
    cache = root / "cache"
    outcomes = {
        row.file.relative_to(root).as_posix(): said
        for row, said in prepare([corpus], cache, VALIDATED, engine, mesh)
    }
    return Prepared(cache, corpus, outcomes, load_index(cache))


@pytest.fixture(scope="session")
def owned(prepared: Prepared) -> list[Sample]:
    """The prepared samples with a forgery of the validated person, and two windows taken for forgeries."""
    windows = [replace(s, label="fake") for s in prepared.samples if s.kind == "window"]
    return [*prepared.samples, *windows]


def own_pairs_of(
    prepared: Prepared, samples: list[Sample], split: str = "train", name: str = "local_features"
) -> OwnPairs:
    """Own pairs of one side as they are: not degraded, not moved."""
    side = [sample for sample in samples if sample.split == split]
    return OwnPairs(
        prepared.cache, side, SPECS[name], degrade=lambda rng, side_px: Degradation.none(), augment=False
    )


@contextmanager
def without_h264() -> Iterator[None]:
    """x264 itself is not exact to the bit from one call to the next, and many tests are about our streams."""
    draw = Degradation.draw

    def without(rng: np.random.Generator, *, still: bool, side_px: int = 0) -> Degradation:
        return replace(draw(rng, still=still, side_px=side_px), h264_crf=None)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Degradation, "draw", without)
        yield


@pytest.fixture
def no_h264() -> Iterator[None]:
    with without_h264():
        yield


@pytest.fixture(scope="session")
def whole(prepared: Prepared, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoint of a run with ``CONFIG`` that nobody stopped."""
    with without_h264():
        return train(CONFIG, prepared.cache, tmp_path_factory.mktemp("run"))


def weights(checkpoint: Path) -> dict[str, torch.Tensor]:
    """The network of a checkpoint, by name."""
    model: dict[str, torch.Tensor] = torch.load(checkpoint, weights_only=True)["model"]
    return model
