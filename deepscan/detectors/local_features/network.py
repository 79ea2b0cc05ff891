"""Local features (Tarasiou and Zafeiriou): traces that are local, and shared by the whole forged region.

Fully convolutional, stride 1, no padding: eight 3x3 convolutions and one 3x3/2 max pool after the
first, so that the last map sees 1 + 2 + 2 + 7 * 4 = 33 pixels and nothing of the face as a whole.
Global average pooling and one linear layer judge the image; two 1x1 heads judge every location
(is its centre pixel manipulated, is it part of a face). Any input from 33 px up.

Choices where the paper is silent:

* Widths. Only "about 1 M parameters" is given. All maps after the pool are of nearly the same size
  (60x60 down to 48x48), so that any 1 M split costs 2.4 to 2.8 GMAC at 128 px; the width sits late,
  where maps are smallest. 1,008,806 parameters, 2.6 GMAC.
* Batch normalisation comes before ReLU.
* Weights of the joint loss: image 0.4, manipulated pixels 0.4, face region 0.2. The paper gives no
  pair for two objectives; its single-objective optimum lies at 0.3 to 0.6.
* A mask that a corpus lacks: with a face mask, the face mask of the forged images stands in for the
  manipulated pixels (the paper's case 6); without any, the terms that are left are rescaled to a sum of 1.
* The score is the image head: the mean over pixels is better only below the 128 px of our crop.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deepscan.detectors.local_features import SPEC

RECEPTIVE_FIELD_PX = 33
STRIDE_PX = 2
WIDTHS = (32, 32, 64, 96, 128, 128, 192, 256)

LAMBDA_CLS = 0.4
LAMBDA_FORGED = 0.4
LAMBDA_FACE = 0.2

# Low, because masks carry the strength of the blend: a face blended in at a quarter is manipulated.
MASK_THRESHOLD = 0.1


class LocalFeaturesOutput(NamedTuple):
    """Logits, class 1 = forged (or face).

    ``image`` (B, 2); ``forged`` and ``face`` (B, 2, h, w), one location per receptive-field centre.
    """

    image: Tensor
    forged: Tensor
    face: Tensor


def receptive_field_centres(size_px: int) -> Tensor:
    """Pixel at the centre of each output location's receptive field, along one side of the input.

    Returns (n,) int64: 16, 18, ... for an input of ``size_px``; n is the side of the last map.
    Raises ValueError below 33 px, where the last map would be empty.
    """
    if size_px < RECEPTIVE_FIELD_PX:
        raise ValueError(f"local features need at least {RECEPTIVE_FIELD_PX} px, not {size_px}")
    count = (size_px - RECEPTIVE_FIELD_PX) // STRIDE_PX + 1
    return torch.arange(count) * STRIDE_PX + RECEPTIVE_FIELD_PX // 2


def labels_at_centres(mask: Tensor) -> Tensor:
    """Mask (B, H, W) in [0, 1] -> class of every output location (B, h, w), int64."""
    rows = receptive_field_centres(mask.shape[-2]).to(mask.device)
    columns = receptive_field_centres(mask.shape[-1]).to(mask.device)
    return (mask[:, rows[:, None], columns] > MASK_THRESHOLD).long()


def conv_bn_relu(channels_in: int, channels_out: int) -> nn.Sequential:
    """3x3 convolution without padding, batch norm, ReLU: (B, C, H, W) -> (B, C', H - 2, W - 2)."""
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, 3, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(inplace=True),
    )


class LocalFeatures(nn.Module):
    """The network of figure 1 with two segmentation objectives (k = 2)."""

    spec = SPEC

    def __init__(self) -> None:
        super().__init__()
        pairs = zip((3, *WIDTHS[:-1]), WIDTHS, strict=True)
        first, *rest = (conv_bn_relu(wide, wider) for wide, wider in pairs)
        self.features = nn.Sequential(first, nn.MaxPool2d(3, stride=2), *rest)
        self.image_head = nn.Linear(WIDTHS[-1], 2)
        self.forged_head = nn.Conv2d(WIDTHS[-1], 2, 1)
        self.face_head = nn.Conv2d(WIDTHS[-1], 2, 1)
        for module in self.features.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> LocalFeaturesOutput:
        """(B, 3, H, W) in [-1, 1], H and W >= 33 -> logits; 128 px gives maps of 48x48."""
        features = self.features(x)
        return LocalFeaturesOutput(
            image=self.image_head(features.mean(dim=(2, 3))),
            forged=self.forged_head(features),
            face=self.face_head(features),
        )

    def probability(self, output: LocalFeaturesOutput) -> Tensor:
        """(B,) probability of forged, from the image head."""
        return output.image.float().softmax(dim=1)[:, 1]

    def evidence(self, output: LocalFeaturesOutput) -> dict[str, Tensor]:
        """``forged_pixels`` (B, h, w): probability that the pixel at each centre was manipulated."""
        return {"forged_pixels": output.forged.float().softmax(dim=1)[:, 1]}

    def loss(
        self, output: LocalFeaturesOutput, label: Tensor, forged: Tensor | None, face: Tensor | None
    ) -> Tensor:
        """Joint loss, a scalar in float32; its weights sum to 1 whichever masks there are.

        ``label`` (B,) int64, 1 = forged; ``forged`` and ``face`` (B, H, W) in [0, 1], of the input's size.
        """
        if forged is None and face is not None:
            forged = face * label[:, None, None]
        terms = [(LAMBDA_CLS, F.cross_entropy(output.image.float(), label))]
        if forged is not None:
            terms.append((LAMBDA_FORGED, F.cross_entropy(output.forged.float(), labels_at_centres(forged))))
        if face is not None:
            terms.append((LAMBDA_FACE, F.cross_entropy(output.face.float(), labels_at_centres(face))))
        total = sum(weight for weight, _ in terms)
        return torch.stack([weight / total * term for weight, term in terms]).sum()
