"""Local features: what it looks at. The network is in ``network.py``."""

from __future__ import annotations

from deepscan.detectors.spec import CropRule, DetectorSpec, EvidenceView, Sampling

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
    fast_rank=1,
)

# 48 x 48 receptive fields of 33 px, 2 px apart: the rim of the crop has none centred on it.
_FIRST, _LAST = 15 / 128, 111 / 128

VIEWS = (
    EvidenceView(
        "forged_pixels",
        "Forged pixels",
        "Probability that the pixel in the middle of each 33 px neighbourhood was manipulated, from 0 "
        "(clear) to 1 (bright), not rescaled. The rim of the crop is not covered.",
        unit=True,
        extent=(_FIRST, _FIRST, _LAST, _LAST),
    ),
)
