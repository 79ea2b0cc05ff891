"""Manifest -> verified model file -> path.

Every model file is listed in ``manifest.toml`` with its sha256 and is checked against it before it is
loaded. A file that is missing, altered or not listed is an error: deepscan never falls back to fewer
detectors than were asked for.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec

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


class _File(msgspec.Struct):
    """A model file, as the manifest's table has it."""

    file: str
    sha256: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}\\Z")]
    bytes: int
    licence: str


class _Constants(msgspec.Struct):
    """``[detectors.NAME.calibration]``."""

    temperature: Annotated[float, msgspec.Meta(gt=0)]
    bias: float
    weight: Annotated[float, msgspec.Meta(ge=0)]


class _Detector(_File, kw_only=True):
    """``[detectors.NAME]``; what weights of older versions lack has a default."""

    calibration: _Constants
    encoder: str = ""
    spec_version: str = ""
    training_data: str = UNKNOWN
    data_licences: str = UNKNOWN
    recipe: str = UNKNOWN
    precision: str = ""
    metrics: dict[str, Any] = {}


class _Fusion(msgspec.Struct):
    """``[fusion]``; what weights of older versions lack has a default."""

    bias: float
    threshold_fake: float
    threshold_real: float
    full_width_px: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    still_share: Annotated[float, msgspec.Meta(gt=0, le=1)] = 1.0
    least_width_px: Annotated[float, msgspec.Meta(ge=0)] = 0.0


Table = TypeVar("Table", bound=msgspec.Struct)


class _Reader:
    """Turns the manifest's tables into dataclasses; every complaint names the table and the field."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def manifest(self, table: Mapping[str, Any]) -> Manifest:
        encoders = self._models(table, "encoders") if "encoders" in table else {}
        detectors = {
            name: self._entry(name, self._read(entry, _Detector, f"detectors.{name}"), encoders)
            for name, entry in self._tables(table, "detectors")
        }
        fusion = self._read(table.get("fusion"), _Fusion, "fusion")
        if not 0 <= fusion.threshold_real <= fusion.threshold_fake <= 1:
            raise self._error("fusion", "needs 0 <= threshold_real <= threshold_fake <= 1")
        calibration = Calibration(
            detectors={name: entry.calibration for name, entry in detectors.items()},
            **msgspec.structs.asdict(fusion),
        )
        return Manifest(self.path, detectors, encoders, self._models(table, "faces"), calibration)

    def _entry(self, name: str, entry: _Detector, encoders: Mapping[str, ModelFile]) -> DetectorEntry:
        if entry.encoder and entry.encoder not in encoders:
            raise self._error(f"detectors.{name}", "has an encoder that is not among [encoders]")
        return DetectorEntry(
            model=_model_file(name, entry),
            encoder=encoders.get(entry.encoder),
            spec_version=entry.spec_version,
            training_data=entry.training_data,
            data_licences=entry.data_licences,
            recipe=entry.recipe,
            precision=entry.precision,
            metrics=entry.metrics,
            calibration=DetectorCalibration(**msgspec.structs.asdict(entry.calibration)),
        )

    def _models(self, table: Mapping[str, Any], key: str) -> dict[str, ModelFile]:
        return {
            name: _model_file(name, self._read(entry, _File, f"{key}.{name}"))
            for name, entry in self._tables(table, key)
        }

    def _tables(self, table: Mapping[str, Any], key: str) -> Iterable[tuple[str, Any]]:
        entries = table.get(key)
        if not isinstance(entries, Mapping):
            raise self._error("the manifest", f"has no [{key}] table")
        return entries.items()

    def _read(self, table: Any, kind: type[Table], where: str) -> Table:
        if table is None:
            raise self._error("the manifest", f"has no [{where}] table")
        try:
            return msgspec.convert(table, kind)
        except msgspec.ValidationError as error:
            raise self._error(f"[{where}]", f"is not as it should be: {error}") from None

    def _error(self, where: str, complaint: str) -> WeightsError:
        return WeightsError(f"{self.path}: {where} {complaint}; {REPAIR}")


def _model_file(name: str, table: _File) -> ModelFile:
    return ModelFile(name, table.file, table.sha256, table.bytes, table.licence)
