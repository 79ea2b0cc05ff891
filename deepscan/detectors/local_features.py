"""Local features: what it looks at. The network is in ``training/nets/local_features.py``."""

from __future__ import annotations

from deepscan.detectors.base import CropRule, DetectorSpec, Sampling

SPEC = DetectorSpec(
    name="local_features",
    title="Local features",
    paper=(
        "Tarasiou and Zafeiriou, Extracting Deep Local Features to Detect Manipulated Images of Human Faces"
    ),
    frames=1,
    sampling=Sampling.SINGLE,
    crop=CropRule.LONG_SIDE,
    scale=1.3,
    hold_first=False,
    size_px=128,
    mean=(0.5, 0.5, 0.5),
    std=(0.5, 0.5, 0.5),
    evidence=("forged_pixels",),
)
