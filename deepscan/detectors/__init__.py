"""The five detectors, in the order in which reports list them."""

from __future__ import annotations

from deepscan.detectors import global_local, gml, local_features, resnet3d, sola
from deepscan.detectors.base import DetectorSpec, EvidenceView

SPECS: dict[str, DetectorSpec] = {
    spec.name: spec for spec in (gml.SPEC, global_local.SPEC, sola.SPEC, resnet3d.SPEC, local_features.SPEC)
}

VIEWS: dict[str, tuple[EvidenceView, ...]] = {
    module.SPEC.name: module.VIEWS for module in (gml, global_local, sola, resnet3d, local_features)
}
