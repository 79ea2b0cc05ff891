"""GML: what it looks at. The network is in ``network.py``."""

from __future__ import annotations

from deepscan.detectors.spec import CropRule, DetectorSpec, EvidenceView, Sampling

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
    fast_rank=5,
)

VIEWS = (
    EvidenceView(
        "anomaly",
        "Anomaly |F*|",
        "What GML's anomaly branch finds odd in this frame: the mean size of its features F*, which training "
        "pushes towards zero on genuine faces. Coloured from the clip's weakest place to its strongest: "
        "compare places of one clip, not one clip with another.",
    ),
    EvidenceView(
        "motion_consistency",
        "Motion consistency |F^MM|",
        "Second-order motion: how much the change from frame to frame itself changes here. Coloured from the "
        "clip's weakest place to its strongest.",
    ),
)
