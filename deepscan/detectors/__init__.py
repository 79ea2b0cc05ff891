"""The detectors, in the order in which reports list them."""

from __future__ import annotations

from deepscan.detectors import gend, global_local, gml, local_features, resnet3d, sola
from deepscan.detectors.spec import DetectorSpec, EvidenceView

_MODULES = (gend, gml, global_local, sola, resnet3d, local_features)

SPECS: dict[str, DetectorSpec] = {module.SPEC.name: module.SPEC for module in _MODULES}

VIEWS: dict[str, tuple[EvidenceView, ...]] = {module.SPEC.name: module.VIEWS for module in _MODULES}
