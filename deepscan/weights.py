"""Manifest -> verified model file -> path.

Every model file is listed in ``manifest.toml`` with its sha256 and is checked against it before it is
loaded. A file that is missing, altered or not listed is an error: deepscan never falls back to fewer
detectors than were asked for.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from deepscan.ensemble import Calibration, DetectorCalibration
from deepscan.errors import WeightsError
from deepscan.text import UNKNOWN

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MANIFEST = "manifest.toml"
FACE_MODEL = "retinaface_mnet025"
REPAIR = "reinstall deepscan, or point DEEPSCAN_WEIGHTS at a complete weights folder"


@dataclass(frozen=True)
class ModelFile:
    """One file of the manifest; ``file`` is relative to the manifest's folder."""

    name: str
    file: str
    sha256: str
    bytes: int
    licence: str


@dataclass(frozen=True)
class DetectorEntry:
    """One detector of the manifest.

    Attributes:
        model: its file; where it has an encoder, the tuning of that.
        encoder: the network that it shares with other tunings; None where its file is a whole network.
        spec_version: of what it looks at.
        training_data: what it learnt from, in a line; ``unknown`` where nobody said.
        data_licences: under which licences that is; ``unknown`` where nobody said.
        recipe: the configuration file or command that made it; ``unknown`` where nobody said.
        precision: how its weights are stored.
        metrics: as measured on validation, by name.
        calibration: constants from its clips to its part of the verdict.
    """

    model: ModelFile
    encoder: ModelFile | None
    spec_version: str
    training_data: str
    data_licences: str
    recipe: str
    precision: str
    metrics: Mapping[str, Any]
    calibration: DetectorCalibration


@dataclass(frozen=True)
class Manifest:
    """Everything that ``manifest.toml`` says."""

    path: Path
    detectors: Mapping[str, DetectorEntry]
    encoders: Mapping[str, ModelFile]
    faces: Mapping[str, ModelFile]
    calibration: Calibration


def find_root(root: Path | None = None) -> Path:
    """The weights folder: ``root``, else ``DEEPSCAN_WEIGHTS``, else the wheel's, else the repository's."""
    if root is not None:
        return root
    from_env = os.environ.get("DEEPSCAN_WEIGHTS")
    if from_env:
        return Path(from_env)
    package = Path(__file__).resolve().parent
    packaged = package / "_weights"
    return packaged if packaged.is_dir() else package.parent / "weights"


def read_manifest(root: Path) -> Manifest:
    """Read ``root/manifest.toml``.

    Raises:
        WeightsError: it is missing, is not TOML, or lacks a field.
    """
    path = root / MANIFEST
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise WeightsError(f"{path}: there is no weights manifest here; {REPAIR}") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise WeightsError(f"{path}: the weights manifest cannot be read ({error}); {REPAIR}") from error
    return _Reader(path).manifest(table)


class Weights:
    """Verified access to the files of one weights folder."""

    def __init__(self, root: Path | None = None) -> None:
        """Raises WeightsError when the folder has no readable manifest."""
        self.root = find_root(root)
        self.manifest = read_manifest(self.root)

    def path(self, detector: str) -> Path:
        """The ONNX file of ``detector``, verified. Raises WeightsError."""
        entry = self._detector(detector)
        return self._verified(entry.encoder or entry.model)

    def tuning_path(self, detector: str) -> Path | None:
        """The tuning that goes with an encoder, verified; None where ``path`` is all. Raises WeightsError."""
        entry = self._detector(detector)
        return self._verified(entry.model) if entry.encoder else None

    def encoder_path(self, name: str) -> Path:
        """The file of an encoder, verified. Raises WeightsError."""
        if name not in self.manifest.encoders:
            raise WeightsError(f"{self.manifest.path}: lists no encoder {name}; {REPAIR}")
        return self._verified(self.manifest.encoders[name])

    def face_path(self, name: str = FACE_MODEL) -> Path:
        """The face detector's ONNX file, verified. Raises WeightsError."""
        if name not in self.manifest.faces:
            raise WeightsError(f"{self.manifest.path}: lists no face model {name}; {REPAIR}")
        return self._verified(self.manifest.faces[name])

    def hashes(self, detectors: Sequence[str]) -> dict[str, str]:
        """sha256 per detector and per encoder that they use, as listed.

        Raises WeightsError when one is not listed.
        """
        entries = [self._detector(name) for name in detectors]
        models = [file for entry in entries for file in (entry.model, entry.encoder) if file]
        return {file.name: file.sha256 for file in models}

    def files(self) -> list[ModelFile]:
        """Every file of the manifest: detectors first, then encoders, then faces."""
        detectors = [entry.model for entry in self.manifest.detectors.values()]
        return [*detectors, *self.manifest.encoders.values(), *self.manifest.faces.values()]

    def problem(self, model: ModelFile) -> str | None:
        """What is wrong with one file of the manifest, in one sentence; None when it is intact."""
        try:
            self._verified(model)
        except WeightsError as error:
            return str(error)
        return None

    def _detector(self, name: str) -> DetectorEntry:
        try:
            return self.manifest.detectors[name]
        except KeyError:
            listed = ",".join(self.manifest.detectors)
            fewer = f"; --detectors {listed} asks those that it lists" if listed else ""
            raise WeightsError(f"{self.manifest.path}: lists no detector {name}; {REPAIR}{fewer}") from None

    def _verified(self, model: ModelFile) -> Path:
        path = self.root / model.file
        try:
            stat = path.stat()
            found = _sha256(path, stat.st_size, stat.st_mtime_ns)
        except OSError as error:
            missing = isinstance(error, FileNotFoundError)
            what = "is missing" if missing else f"cannot be read ({error.strerror})"
            raise WeightsError(f"{path}: the model file of {model.name} {what}; {REPAIR}") from error
        if found != model.sha256:
            raise WeightsError(
                f"{path}: the model file of {model.name} is not the one in the manifest "
                f"(sha256 {found[:12]}…, expected {model.sha256[:12]}…); {REPAIR}"
            )
        return path


@lru_cache(maxsize=64)
def _sha256(path: Path, size: int, mtime_ns: int) -> str:
    """Hash of a file; size and time are in the cache's key so that a replaced file is read again."""
    return sha256(path)


def sha256(path: Path) -> str:
    """Hash of a file's content, as hex digits. Raises OSError."""
    with path.open("rb") as stream:
        digest = hashlib.sha256()
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


class _Reader:
    """Turns the manifest's tables into dataclasses; every complaint names the field."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def manifest(self, table: Mapping[str, Any]) -> Manifest:
        encoders = self._models(table, "encoders") if "encoders" in table else {}
        detectors = {
            name: self._entry(name, entry, encoders)
            for name, entry in self._table(table, "detectors", "").items()
        }
        faces = self._models(table, "faces")
        fusion = self._table(table, "fusion", "")
        calibration = Calibration(
            detectors={name: entry.calibration for name, entry in detectors.items()},
            bias=self._number(fusion, "bias", "fusion"),
            threshold_fake=self._number(fusion, "threshold_fake", "fusion"),
            threshold_real=self._number(fusion, "threshold_real", "fusion"),
            full_width_px=self._later(fusion, "full_width_px", 0.0),
            still_share=self._later(fusion, "still_share", 1.0),
            least_width_px=self._later(fusion, "least_width_px", 0.0),
        )
        if not 0 <= calibration.threshold_real <= calibration.threshold_fake <= 1:
            raise self._error("fusion", "needs 0 <= threshold_real <= threshold_fake <= 1")
        if (
            min(calibration.full_width_px, calibration.least_width_px) < 0
            or not 0 < calibration.still_share <= 1
        ):
            raise self._error(
                "fusion",
                "needs a full_width_px of 0 or more, least_width_px too, and a still_share in (0, 1]",
            )
        return Manifest(self.path, detectors, encoders, faces, calibration)

    def _later(self, fusion: Any, key: str, where_missing: float) -> float:
        """A constant that weights of older versions lack."""
        return self._number(fusion, key, "fusion") if key in fusion else where_missing

    def _entry(self, name: str, entry: Any, encoders: Mapping[str, ModelFile]) -> DetectorEntry:
        where = f"detectors.{name}"
        model = self._model(name, entry, where)
        if "encoder" in entry and entry["encoder"] not in encoders:
            raise self._error(where, "has an encoder that is not among [encoders]")
        constants = self._table(entry, "calibration", where)
        fields = ("temperature", "bias", "weight")
        numbers = (self._number(constants, field, f"{where}.calibration") for field in fields)
        calibration = DetectorCalibration(*numbers)
        if calibration.temperature <= 0 or calibration.weight < 0:
            raise self._error(f"{where}.calibration", "needs a temperature above 0 and a weight of 0 or more")
        return DetectorEntry(
            model=model,
            encoder=encoders.get(entry.get("encoder", "")),
            spec_version=str(entry.get("spec_version", "")),
            training_data=str(entry.get("training_data", UNKNOWN)),
            data_licences=str(entry.get("data_licences", UNKNOWN)),
            recipe=str(entry.get("recipe", UNKNOWN)),
            precision=str(entry.get("precision", "")),
            metrics=dict(entry.get("metrics", {})),
            calibration=calibration,
        )

    def _models(self, table: Mapping[str, Any], key: str) -> dict[str, ModelFile]:
        return {
            name: self._model(name, entry, f"{key}.{name}")
            for name, entry in self._table(table, key, "").items()
        }

    def _model(self, name: str, entry: Any, where: str) -> ModelFile:
        if not isinstance(entry, Mapping):
            raise self._error(where, "is not a table")
        for key, kind in (("file", str), ("sha256", str), ("bytes", int), ("licence", str)):
            if not isinstance(entry.get(key), kind):
                raise self._error(where, f"has no {key}")
        if not re.fullmatch(r"[0-9a-f]{64}", entry["sha256"]):
            raise self._error(where, "has a sha256 that is not 64 lower-case hex digits")
        return ModelFile(name, entry["file"], entry["sha256"], entry["bytes"], entry["licence"])

    def _table(self, table: Mapping[str, Any], key: str, where: str) -> Mapping[str, Any]:
        value = table.get(key)
        if not isinstance(value, Mapping):
            raise self._error(where or "the manifest", f"has no [{key}] table")
        return value

    def _number(self, table: Mapping[str, Any], key: str, where: str) -> float:
        value = table.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._error(where, f"has no number {key}")
        return float(value)

    def _error(self, where: str, complaint: str) -> WeightsError:
        return WeightsError(f"{self.path}: {where} {complaint}; {REPAIR}")
