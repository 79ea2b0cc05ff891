"""3D ResNet: what training, rounding and comparing need to know of it."""

from __future__ import annotations

from dataclasses import replace

from deepscan.detectors.recipe import USUAL, DetectorRecipe, Published, Rounding, Tap

RECIPE = DetectorRecipe(
    network="ResNet3d",
    paper=replace(
        USUAL,
        rate=1e-4,
        brightened=True,
        jittered=True,
        source="section 5",
        open=("rate", "schedule", "batch size", "duration", "strength of crop and brightness changes"),
    ),
    roundings=(Rounding(48),),
    public_weights="a Kinetics 3D-ResNet of the same depth",
    tap=Tap("layer3", 1024, teacher_block=11, teacher_channels=728),
    published=(
        # Ghosh, the ResNet-50.
        Published("DFDC", "*", "accuracy", "file", 0.84, "DFDC, from Kinetics", "Figure 12"),
    ),
)
