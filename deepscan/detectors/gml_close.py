"""GML close-up: what it looks at. The network is in ``training/nets/gml_close.py``."""

from __future__ import annotations

from dataclasses import replace

from deepscan.detectors import gml
from deepscan.detectors.base import CropRule, Sampling

SPEC = replace(
    gml.SPEC,
    name="gml_close",
    title="GML close-up",
    paper=f"Anomaly branch of {gml.SPEC.paper}",
    frames=1,
    sampling=Sampling.SINGLE,
    crop=CropRule.ALIGNED,
    scale=1.3,
    hold_first=False,
    evidence=("anomaly",),
)

VIEWS = (gml.VIEWS[0],)
