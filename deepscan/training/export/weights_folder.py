"""A trained run -> files that a scan can load: ONNX, and its entry in the manifest.

int8 is shipped where its scores stay within 0.02 of the float ones on validation clips, with as few
submodules in float as that takes; elsewhere the weights alone are stored in 16 bits (``halve_weights``).
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w
from numpy.typing import NDArray

from deepscan.detectors import SPECS
from deepscan.detectors.registry import recipe_of_detector
from deepscan.detectors.spec import DetectorSpec
from deepscan.ensemble import Calibration
from deepscan.errors import UsageError
from deepscan.training.data.prepare import Sample, load_index
from deepscan.training.data.samples import FixedPairs
from deepscan.training.export.onnx import ScoreGap, export_onnx, halve_weights, quantise, scores
from deepscan.training.fit.initial_weights import load_trained
from deepscan.training.networks import build
from deepscan.training.provenance import Provenance
from deepscan.weights import MANIFEST, find_root

CHECK_CLIPS = 48
FACE_MODELS = {"retinaface_mnet025": "MIT", "facemesh_468": "Apache-2.0"}


if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@dataclass(frozen=True)
class Shipped:
    """What came of one export: the file, how it is stored, and how far its scores stray from float.

    ``refused``: how far those of the int8 files strayed that were tried before. ``encoder``: name of the one
    that the file tunes; empty where it is a whole network.
    """

    path: Path
    precision: str
    gap: ScoreGap
    refused: tuple[ScoreGap, ...] = ()
    encoder: str = ""


def ship(detector: str, checkpoint: Path, cache: Path, weights: Path, *, try_int8: bool = True) -> Shipped:
    """Export one trained detector into a weights folder.

    Args:
        detector: key of ``SPECS``.
        checkpoint: of ``loop.train``, or safetensors.
        cache: prepared faces; the training side calibrates int8, the validation side checks it.
        weights: folder that receives ``<detector>.onnx``.
        try_int8: False stores the weights in 16 bits at once, where int8 is known to stray.

    Raises:
        UsageError: one side of the cache has no clip for this detector, or the checkpoint is another's.
    """
    net = build(detector)
    load_trained(net, checkpoint)
    spec = SPECS[detector]
    samples = load_index(cache)
    unseen = clips(cache, [s for s in samples if s.split == "val"], spec, CHECK_CLIPS)
    target = weights / f"{detector}.onnx"
    exact, small = target.with_suffix(".float.onnx"), target.with_suffix(".small.onnx")
    refused: list[ScoreGap] = []
    try:
        export_onnx(net, exact)
        reference = scores(exact, unseen)
        for way in recipe_of_detector(detector).roundings if try_int8 else ():
            seen = clips(cache, [s for s in samples if s.split == "train"], spec, way.pairs)
            quantise(exact, seen, small, keep_float=way.keep_float)
            gap, precision = ScoreGap.between(reference, scores(small, unseen)), "int8"
            if gap.acceptable:
                break
            refused.append(gap)
        else:
            halve_weights(exact, small)
            gap, precision = ScoreGap.between(reference, scores(small, unseen)), "float16 weights"
        os.replace(small, target)
    finally:
        exact.unlink(missing_ok=True)
        small.unlink(missing_ok=True)
    return Shipped(target, precision, gap, tuple(refused))


def clips(cache: Path, samples: Sequence[Sample], spec: DetectorSpec, count: int) -> list[NDArray[np.uint8]]:
    """Up to ``count`` batches of one real and one forged clip each, spread over the samples.

    Raises:
        UsageError: no sample can give a clip.
    """
    pairs = FixedPairs(cache, samples, spec)
    if not len(pairs):
        raise UsageError(
            f"{cache} lacks real training or validation faces that give a clip for {spec.name}; "
            "prepare it with some identities kept out of training."
        )
    chosen = np.linspace(0, len(pairs) - 1, min(count, len(pairs))).round().astype(int)
    return [pairs[int(i)]["pixels"].numpy() for i in chosen]


def manifest_entry(path: Path, **facts: Any) -> dict[str, Any]:
    """The manifest's facts about one model file, beside those given."""
    data = path.read_bytes()
    return {"file": path.name, "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data), **facts}


def enter_detector(
    weights: Path, shipped: Shipped, detector: str, provenance: Provenance | None = None
) -> None:
    """Enter a freshly shipped detector, uncalibrated: temperature 1, bias 0, weight 1.

    Without ``provenance`` the manifest says that licence, data and recipe are unknown.
    """
    facts = (provenance or Provenance()).facts()
    table = read_table(weights)
    gap = {"float_gap_largest": round(shipped.gap.largest, 5), "float_gap_mean": round(shipped.gap.mean, 6)}
    entry = manifest_entry(shipped.path, **facts, spec_version="1", precision=shipped.precision)
    if shipped.encoder:
        entry["encoder"] = shipped.encoder
    entry["metrics"] = gap
    entry["calibration"] = {"temperature": 1.0, "bias": 0.0, "weight": 1.0}
    table.setdefault("detectors", {})[detector] = entry
    table["detectors"] = {name: table["detectors"][name] for name in SPECS if name in table["detectors"]}
    table.setdefault("faces", {})
    table.setdefault("fusion", {"bias": 0.0, "threshold_fake": 0.5, "threshold_real": 0.5})
    write_table(weights, table)


def enter_face_model(weights: Path, name: str, licence: str) -> None:
    """Enter ``faces/<name>.onnx``."""
    table = read_table(weights)
    entry = manifest_entry(weights / "faces" / f"{name}.onnx", licence=licence)
    table.setdefault("faces", {})[name] = {**entry, "file": f"faces/{name}.onnx"}
    write_table(weights, table)


def bring_face_models(weights: Path) -> None:
    """Copy the shipped face models that the folder lacks, and enter them: without them it cannot be used."""
    (weights / "faces").mkdir(exist_ok=True)
    for name, licence in FACE_MODELS.items():
        target = weights / "faces" / f"{name}.onnx"
        if not target.exists():
            shutil.copy(find_root() / "faces" / target.name, target)
        if name not in read_table(weights).get("faces", {}):
            enter_face_model(weights, name, licence)


def enter_calibration(
    weights: Path, calibration: Calibration, metrics: Mapping[str, Mapping[str, float]]
) -> None:
    """Enter a fitted calibration and each detector's figures."""
    table = read_table(weights)
    for name, one in calibration.detectors.items():
        entry = table["detectors"][name]
        entry["calibration"] = {
            "temperature": round(one.temperature, 6),
            "bias": round(one.bias, 6),
            "weight": round(one.weight, 6),
        }
        entry["metrics"] = {**entry.get("metrics", {}), **metrics.get(name, {})}
    table["fusion"] = {
        "bias": round(calibration.bias, 6),
        "threshold_fake": calibration.threshold_fake,
        "threshold_real": calibration.threshold_real,
        "full_width_px": calibration.full_width_px,
        "still_share": calibration.still_share,
        "least_width_px": calibration.least_width_px,
        **metrics.get("fusion", {}),
    }
    write_table(weights, table)


def read_table(weights: Path) -> dict[str, Any]:
    """The manifest as plain tables; empty where there is none yet."""
    path = weights / MANIFEST
    return tomllib.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def write_table(weights: Path, table: Mapping[str, Any]) -> None:
    """Write the manifest beside its place, then move it there."""
    order = [key for key in ("fusion", "detectors", "encoders", "faces") if key in table]
    partial = weights / f"{MANIFEST}.partial"
    partial.write_text(tomli_w.dumps({key: table[key] for key in order}), encoding="utf-8")
    partial.replace(weights / MANIFEST)
