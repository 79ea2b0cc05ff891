"""GenD: an image encoder of CLIP whose layer normalisations are tuned, and a linear head on the sphere.

Yermakov, Cech, Matas and Fritz, "Deepfake Detection that Generalizes Across Benchmarks" (WACV 2026,
arXiv:2508.06248): of a pretrained encoder only the layer normalisations learn; its class token, brought to
length one, is classified linearly; alignment and uniformity on the sphere join the cross-entropy.
Here the encoder is CLIP's ViT-B/16 (Radford et al., 2021), the smallest that the paper compares.

Tensors are called as in Hugging Face's ``CLIPVisionModel``. ``tuning`` names those that learn.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from deepscan.detectors.gend import SPEC

WIDTH, HEADS, LAYERS, PATCH_PX, HIDDEN = 768, 12, 12, 16, 3072
EPS = 1e-5
PERSON_LAYERS = 6
"""After so many layers patches tell people apart, and no tuning has changed them."""
LOGIT_SCALE = 16.0
"""The class token has length one; its product with the head is multiplied by this."""
ALIGNMENT, UNIFORMITY = 0.1, 0.1
"""Weights of the two losses on the sphere beside the cross-entropy."""


class GenDOutput(NamedTuple):
    """What the network says.

    Attributes:
        logits: (B, 2), real then forged.
        feature: (B, 768), the class token, length one.
        rollout: (B, 14, 14), how much of each patch reaches the class token, summing to one; None where it
            was not asked for.
        embedding: (B, 768), length one, alike for crops of one person; None where it was not asked for.
    """

    logits: Tensor
    feature: Tensor
    rollout: Tensor | None = None
    embedding: Tensor | None = None


class Attention(nn.Module):
    """Self-attention of one layer."""

    def __init__(self) -> None:
        super().__init__()
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (nn.Linear(WIDTH, WIDTH) for _ in range(4))

    def forward(self, x: Tensor, *, seen: bool) -> tuple[Tensor, Tensor | None]:
        """(B, N, 768) -> the same, and the weights (B, heads, N, N) where they are to be ``seen``."""
        count, tokens, _ = x.shape
        q, k, v = (
            project(x).reshape(count, tokens, HEADS, -1).transpose(1, 2)
            for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        weights = None
        if seen:
            weights = (q @ k.transpose(-1, -2) * (WIDTH // HEADS) ** -0.5).softmax(-1)
            mixed = weights @ v
        else:
            mixed = F.scaled_dot_product_attention(q, k, v)
        return self.out_proj(mixed.transpose(1, 2).reshape(count, tokens, WIDTH)), weights


class Mlp(nn.Module):
    """The two linear layers of a layer, with QuickGELU between them."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(WIDTH, HIDDEN), nn.Linear(HIDDEN, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, 768) -> the same."""
        y = self.fc1(x)
        return self.fc2(y * torch.sigmoid(1.702 * y))  # type: ignore[no-any-return]


class Layer(nn.Module):
    """One transformer layer, normalised before each half."""

    def __init__(self) -> None:
        super().__init__()
        self.layer_norm1, self.layer_norm2 = (nn.LayerNorm(WIDTH, eps=EPS) for _ in range(2))
        self.self_attn, self.mlp = Attention(), Mlp()

    def forward(self, x: Tensor, *, seen: bool = False) -> tuple[Tensor, Tensor | None]:
        """(B, N, 768) -> the same, and the attention's weights (B, heads, N, N) where they are ``seen``."""
        mixed, weights = self.self_attn(self.layer_norm1(x), seen=seen)
        x = x + mixed
        return x + self.mlp(self.layer_norm2(x)), weights


class Embeddings(nn.Module):
    """Patches, class token and positions."""

    def __init__(self) -> None:
        super().__init__()
        self.class_embedding = nn.Parameter(torch.zeros(WIDTH))
        self.patch_embedding = nn.Conv2d(3, WIDTH, PATCH_PX, PATCH_PX, bias=False)
        self.position_embedding = nn.Embedding((SPEC.size_px // PATCH_PX) ** 2 + 1, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, 224, 224) -> (B, 197, 768)."""
        patches = self.patch_embedding(x).flatten(2).transpose(1, 2)
        token = self.class_embedding.expand(x.shape[0], 1, -1)
        return torch.cat([token, patches], 1) + self.position_embedding.weight


class Encoder(nn.Module):
    """The image tower of CLIP."""

    def __init__(self) -> None:
        super().__init__()
        self.embeddings = Embeddings()
        self.pre_layrnorm = nn.LayerNorm(WIDTH, eps=EPS)  # spelt so in every checkpoint
        self.encoder = nn.ModuleDict({"layers": nn.ModuleList(Layer() for _ in range(LAYERS))})
        self.post_layernorm = nn.LayerNorm(WIDTH, eps=EPS)

    @property
    def layers(self) -> nn.ModuleList:
        """The transformer's layers, in order."""
        layers = self.encoder["layers"]
        assert isinstance(layers, nn.ModuleList)
        return layers

    def lower(self, x: Tensor, layers: int) -> Tensor:
        """(B, 3, 224, 224) -> tokens (B, 197, 768) after so many layers."""
        x = self.pre_layrnorm(self.embeddings(x))
        for layer in self.layers[:layers]:
            x, _ = layer(x)
        return x

    def upper(self, x: Tensor, layers: int) -> Tensor:
        """Tokens after so many layers -> class token (B, 768), normalised."""
        for layer in self.layers[layers:]:
            x, _ = layer(x)
        token: Tensor = self.post_layernorm(x[:, 0])
        return token

    def seen(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The whole way of (B, 3, 224, 224), watched.

        Returns:
            Class token (B, 768), normalised; the attention's rollout (B, 196); the mean patch (B, 768) after
            ``PERSON_LAYERS`` layers.
        """
        x = self.lower(x, 0)
        reach = torch.eye(x.shape[1], device=x.device)[None]
        patches = x[:, 1:].mean(1)
        for number, layer in enumerate(self.layers, 1):
            x, weights = layer(x, seen=True)
            reach = flowed(weights) @ reach
            if number == PERSON_LAYERS:
                patches = x[:, 1:].mean(1)
        return self.post_layernorm(x[:, 0]), reach[:, 0, 1:], patches


class GenD(nn.Module):
    """CLIP's image tower, tuned, and the head."""

    spec = SPEC

    def __init__(self) -> None:
        super().__init__()
        self.vision_model = Encoder()
        #: The mean patch of genuine faces, which every person's embedding is taken from.
        self.mean_patch: Tensor
        self.register_buffer("mean_patch", torch.zeros(WIDTH))
        self.head = nn.Linear(WIDTH, 2)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, x: Tensor) -> GenDOutput:
        """(B, 3, 224, 224), CLIP's mean and deviation taken out -> GenDOutput, whole."""
        token, reach, patches = self.vision_model.seen(x)
        side = SPEC.size_px // PATCH_PX
        rollout = (reach / reach.sum(-1, keepdim=True)).reshape(-1, side, side)
        embedding = F.normalize(patches.float() - self.mean_patch, dim=-1)
        return self._judged(token)._replace(rollout=rollout, embedding=embedding)

    def judge(self, tokens: Tensor, layers: int) -> GenDOutput:
        """Tokens (B, N, 768) after so many layers -> GenDOutput without rollout and embedding."""
        return self._judged(self.vision_model.upper(tokens, layers))

    def _judged(self, token: Tensor) -> GenDOutput:
        feature = F.normalize(token.float(), dim=-1)
        return GenDOutput(LOGIT_SCALE * self.head(feature), feature)

    def probability(self, output: GenDOutput) -> Tensor:
        """(B,): probability of forged."""
        return output.logits.float().softmax(1)[:, 1]

    def evidence(self, output: GenDOutput) -> dict[str, Tensor]:
        """``rollout``: (B, 14, 14)."""
        return {} if output.rollout is None else {"rollout": output.rollout.float()}

    def loss(self, output: GenDOutput, label: Tensor, forged: Tensor | None, face: Tensor | None) -> Tensor:
        """Cross-entropy, alignment and uniformity, in float32. Masks are not used.

        Args:
            output: of ``forward``.
            label: (B,) int64, 1 = forged.
            forged: ignored.
            face: ignored.
        """
        return (
            F.cross_entropy(output.logits.float(), label)
            + ALIGNMENT * alignment(output.feature, label)
            + UNIFORMITY * uniformity(output.feature)
        )

    def load_imagenet(self, path: Path) -> None:
        """Starts from CLIP's image tower, or takes a tuning on top of what is loaded already.

        Args:
            path: safetensors of a Hugging Face ``CLIPVisionModel``, or of ``tuning``.

        Raises:
            RuntimeError: a tensor has another shape or name, or some of the tower are missing.
        """
        state = load_file(path)
        if any(name.endswith("q_proj.weight") for name in state):
            wanted = {name: tensor for name, tensor in state.items() if name in self.state_dict()}
            missing = [
                name
                for name in self.state_dict()
                if name not in wanted and not is_tuned(name) and name != "mean_patch"
            ]
            if missing:
                raise RuntimeError(f"it lacks {missing[0]}")
            self.load_state_dict(wanted, strict=False)
        else:
            self.load_tuning(state)

    def tuning(self) -> dict[str, Tensor]:
        """What learns: layer normalisations and head, by name, float32."""
        return {name: value.detach().float() for name, value in self.state_dict().items() if is_tuned(name)}

    def load_tuning(self, state: Mapping[str, Tensor]) -> None:
        """Takes what ``tuning`` gave. Raises RuntimeError where a tensor is missing or strange."""
        own = {name for name in self.state_dict() if is_tuned(name)}
        if set(state) != own:
            odd = sorted(set(state) ^ own)[0]
            raise RuntimeError(f"it is no tuning of GenD: {odd} is missing or strange")
        self.load_state_dict(dict(state), strict=False)


def is_tuned(name: str) -> bool:
    """Whether a tensor belongs to a tuning: layer normalisations and head."""
    return name.startswith("head.") or any(part in name for part in ("layer_norm", "layrnorm", "layernorm"))


def flowed(weights: Tensor) -> Tensor:
    """Attention (B, heads, N, N) -> how each token of the next layer is made of those before (B, N, N).

    Mean over the heads, and the residual path as heavy as the attention (Abnar and Zuidema, 2020).
    """
    mean = weights.float().mean(1)
    return 0.5 * (mean + torch.eye(mean.shape[-1], device=mean.device))


def alignment(feature: Tensor, label: Tensor) -> Tensor:
    """Mean squared distance of two samples with one label (Wang and Isola, 2020, with labels as in GenD).

    Args:
        feature: (B, 768), length one.
        label: (B,) int64.
    """
    same = (label[:, None] == label[None]).triu(1)
    if not bool(same.any()):
        return feature.sum() * 0
    return (2 - 2 * feature @ feature.T)[same].mean()


def uniformity(feature: Tensor) -> Tensor:
    """Logarithm of the mean Gaussian potential of two samples, t = 2 (Wang and Isola, 2020).

    Args:
        feature: (B, 768), length one.
    """
    return torch.pdist(feature).square().mul(-2).exp().mean().clamp(min=1e-6).log()
