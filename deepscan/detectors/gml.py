"""GML: what it looks at. The network is in ``training/nets/gml.py``."""

from __future__ import annotations

from deepscan.detectors.base import CropRule, DetectorSpec, Sampling

SPEC = DetectorSpec(
    name="gml",
    title="GML",
    paper="Zhang et al., Learning Expressive and Generalizable Motion Features for Face Forgery Detection",
    frames=8,
    sampling=Sampling.EVERY_SECOND,
    crop=CropRule.SQRT_AREA,
    scale=2.0,
    hold_first=True,
    size_px=224,
    mean=(0.5, 0.5, 0.5),
    std=(0.5, 0.5, 0.5),
    evidence=("anomaly", "motion_consistency"),
)
