"""Local features: what training, rounding and comparing need to know of it."""

from __future__ import annotations

from dataclasses import replace

from deepscan.detectors.recipe import CELEB, FF, USUAL, DetectorRecipe, Published, Rounding

RECIPE = DetectorRecipe(
    network="LocalFeatures",
    paper=replace(
        USUAL,
        pairs=16,
        open=("optimizer", "rate", "schedule", "batch size", "duration", "augmentation (none here)"),
    ),
    roundings=(Rounding(24, ("features/features.0", "features/features.2")),),
    published=(
        # Tarasiou and Zafeiriou: accuracy per image, the best setting of each table.
        Published(FF, "Deepfakes c23", "accuracy", "frame", 0.979, "the same forger", "Table 1"),
        Published(FF, "Face2Face c23", "accuracy", "frame", 0.9858, "the same forger", "Table 1"),
        Published(FF, "FaceSwap c23", "accuracy", "frame", 0.9832, "the same forger", "Table 1"),
        Published(FF, "Deepfakes c40", "accuracy", "frame", 0.924, "the same forger", "Table 1"),
        Published(FF, "Face2Face c40", "accuracy", "frame", 0.8711, "the same forger", "Table 1"),
        Published(FF, "FaceSwap c40", "accuracy", "frame", 0.9126, "the same forger", "Table 1"),
        Published("DFD", "*", "accuracy", "frame", 0.9714, "DFD, real masks", "Table 3"),
        Published("DFDC", "*", "accuracy", "frame", 0.8876, "DFDC, hull masks", "Table 3"),
        Published(CELEB, "*", "accuracy", "frame", 0.9262, "Celeb-DF, hull masks", "Table 3"),
    ),
    any_size=True,
)
