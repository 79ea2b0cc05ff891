"""SOLA: what it looks at. The network is in ``network.py``."""

from __future__ import annotations

from deepscan.detectors.spec import CropRule, DetectorSpec, EvidenceView, Sampling

SPEC = DetectorSpec(
    name="sola",
    title="SOLA",
    paper="Fei et al., Learning Second Order Local Anomaly for General Face Forgery Detection",
    frames=1,
    sampling=Sampling.SINGLE,
    crop=CropRule.LONG_SIDE,
    scale=2.6,
    hold_first=False,
    size_px=256,
    mean=(0.0, 0.0, 0.0),
    std=(1.0, 1.0, 1.0),
    evidence=("second_order",),
    fast_rank=4,
)

VIEWS = (
    EvidenceView(
        "second_order",
        "Second-order anomaly",
        "How abruptly the differences between neighbouring patches change here: the strongest of SOLA's four "
        "second-order maps, from 0 (clear) to 1 (bright), not rescaled.",
        unit=True,
    ),
)
