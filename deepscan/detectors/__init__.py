"""The five detectors, in the order in which reports list them."""

from __future__ import annotations

from deepscan.detectors import global_local, gml, local_features, resnet3d, sola
from deepscan.detectors.base import DetectorSpec

SPECS: dict[str, DetectorSpec] = {
    spec.name: spec for spec in (gml.SPEC, global_local.SPEC, sola.SPEC, resnet3d.SPEC, local_features.SPEC)
}
