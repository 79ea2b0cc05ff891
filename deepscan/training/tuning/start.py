"""Where a tuning starts: the encoder of the weights folder, and a tuning by name or file."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file

from deepscan.detectors.gend.network import GenD
from deepscan.errors import UsageError
from deepscan.training.export.encoder import read_encoder
from deepscan.weights import Weights

ENCODER = "clip_vit_b16"
CLIP, SHIPPED = "clip", "shipped"
UNTUNED = "clip_vit_b16_norms.safetensors"
"""Among the checkpoints: the encoder's own normalisations, and a head that knows nothing."""


def start(name: str, root: Path | None = None) -> GenD:
    """The network with the tuning that ``--init`` names: ``clip``, ``shipped`` or a file.

    Raises:
        UsageError: there is no such file, or it holds no tuning.
        WeightsError: the weights folder has no such encoder or tuning, or a damaged one.
    """
    weights = Weights(root)
    path = Path(name)
    if name == CLIP:
        path = weights.root / "checkpoints" / UNTUNED
    elif name == SHIPPED:
        path = weights.tuning_path("gend") or path
    net = GenD()
    net.load_state_dict(read_encoder(weights.encoder_path(ENCODER)), strict=False)
    try:
        net.load_tuning(load_file(path))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise UsageError(
            f"{path} is no tuning to start from ({error}); say clip, shipped or a file."
        ) from None
    return net
