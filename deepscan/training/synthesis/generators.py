"""Small generators trained on the real faces, whose outputs carry the traces of generators and of no seam.

Eight auto-encoders that differ in how they grow their maps (transposed convolution, nearest, bilinear, pixel
shuffle), in depth and width, with and without a skip connection, with a perceptual or an adversarial loss:
a detector that learns all of them learns what they share. Two more are kept for validation. All ten ship in
``weights/checkpoints/generators``, trained as ``train_generators`` trains others. Networks that enlarge
pictures (``super_resolvers``) and filters that retouch skin (``retouch``) stand beside them in training.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from deepscan.errors import UsageError
from deepscan.training.synthesis.retouching import RETOUCHERS
from deepscan.training.synthesis.super_resolution import load_super_resolvers
from deepscan.weights import find_root

Image = NDArray[np.uint8]
FOLDER = "generators"
INPUT_PX = 256
CROP_PX = 128
BATCH = 8


class Regenerator(Protocol):
    """What draws a picture anew."""

    def regenerate(self, image: Image) -> Image:
        """``(H, W, 3)`` uint8 to the same shape; H and W divisible by 8."""
        ...


@dataclass(frozen=True)
class GeneratorSpec:
    """How one generator is built and trained.

    Attributes:
        name: of its file.
        grow: ``transposed``, ``nearest``, ``bilinear`` or ``shuffle``.
        levels: halvings of the picture.
        width: channels of the first level; later ones have twice as many.
        latent: channels of the narrowest map.
        skip: four channels of the first level reach the last one.
        adversarial: a patch discriminator beside the perceptual loss.
        split: ``train`` or ``val``.
    """

    name: str
    grow: str
    levels: int
    width: int
    latent: int
    skip: bool
    adversarial: bool
    split: str = "train"


GENERATORS = (
    GeneratorSpec("transposed", "transposed", 2, 16, 8, skip=False, adversarial=False),
    GeneratorSpec("transposed-skip-adversarial", "transposed", 3, 16, 16, skip=True, adversarial=True),
    GeneratorSpec("nearest-adversarial", "nearest", 2, 16, 8, skip=False, adversarial=True),
    GeneratorSpec("nearest-skip", "nearest", 3, 12, 12, skip=True, adversarial=False),
    GeneratorSpec("bilinear", "bilinear", 2, 16, 6, skip=False, adversarial=False),
    GeneratorSpec("bilinear-adversarial", "bilinear", 2, 16, 12, skip=False, adversarial=True),
    GeneratorSpec("shuffle", "shuffle", 2, 16, 8, skip=False, adversarial=False),
    GeneratorSpec("shuffle-adversarial", "shuffle", 2, 16, 12, skip=False, adversarial=True),
    GeneratorSpec("val-nearest", "nearest", 2, 16, 5, skip=False, adversarial=True, split="val"),
    GeneratorSpec("val-shuffle-skip", "shuffle", 3, 12, 16, skip=True, adversarial=False, split="val"),
)


class Generator(nn.Module):
    """An auto-encoder of faces."""

    def __init__(self, spec: GeneratorSpec) -> None:
        super().__init__()
        self.spec = spec
        widths = [spec.width * 2**level for level in range(spec.levels)]
        self.down = nn.ModuleList(_down(a, b) for a, b in zip([3, *widths], widths, strict=False))
        self.squeeze = nn.Conv2d(widths[-1], spec.latent, 1)
        self.widen = nn.Conv2d(spec.latent, widths[-1], 3, padding=1)
        self.skip = nn.Conv2d(widths[0], 4, 1) if spec.skip else None
        up = []
        for level in reversed(range(spec.levels)):
            wide = widths[level] + (4 if spec.skip and level == 0 else 0)
            up.append(_up(spec.grow, wide, widths[max(0, level - 1)]))
        self.up = nn.ModuleList(up)
        self.out = nn.Conv2d(widths[0], 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) in [-1, 1] -> the same, generated; H and W divisible by 8.

        The decoder adds detail to the picture at its smallest size: colours are right from the start.
        """
        coarse = F.avg_pool2d(x, 2**self.spec.levels)
        base = F.interpolate(coarse, scale_factor=float(2**self.spec.levels), mode="bilinear")
        first: Tensor | None = None
        for down in self.down:
            x = down(x)
            first = x if first is None else first
        x = F.silu(self.widen(self.squeeze(x)))
        for number, up in enumerate(self.up):
            if self.skip is not None and number == len(self.up) - 1 and first is not None:
                x = torch.cat([x, self.skip(first)], 1)
            x = up(x)
        detailed: Tensor = base + self.out(x)
        return detailed

    @torch.inference_mode()
    def regenerate(self, image: Image) -> Image:
        """``(H, W, 3)`` uint8 through the generator; H and W divisible by 8."""
        x = torch.from_numpy(image)[None].permute(0, 3, 1, 2).float() / 127.5 - 1
        y = (self(x)[0].permute(1, 2, 0).clamp(-1, 1) + 1) * 127.5
        return np.ascontiguousarray(y.round().to(torch.uint8).numpy())


def shrink(image: Image, size_px: int) -> Image:
    """``(H, W, 3)`` uint8 as a square of ``size_px``, which is what generators take."""
    return np.asarray(cv2.resize(image, (size_px, size_px), interpolation=cv2.INTER_AREA), np.uint8)


def enlarge(square: Image, size_px: tuple[int, ...]) -> Image:
    """A square back at ``size_px`` (height, width)."""
    height, width = size_px
    return np.asarray(cv2.resize(square, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def _down(channels_in: int, channels: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(channels_in, channels, 4, 2, 1), nn.SiLU())


def _up(grow: str, channels_in: int, channels: int) -> nn.Module:
    """Twice the height and width."""
    grown: list[nn.Module]
    if grow == "transposed":
        grown = [nn.ConvTranspose2d(channels_in, channels, 4, 2, 1)]
    elif grow == "shuffle":
        grown = [nn.Conv2d(channels_in, 4 * channels, 3, padding=1), nn.PixelShuffle(2)]
    else:
        scale = nn.Upsample(scale_factor=2, mode=grow, align_corners=False if grow == "bilinear" else None)
        grown = [scale, nn.Conv2d(channels_in, channels, 3, padding=1)]
    return nn.Sequential(*grown, nn.SiLU(), nn.Conv2d(channels, channels, 3, padding=1), nn.SiLU())


class _Critic(nn.Module):
    """Patch discriminator (Isola et al. 2017), three layers."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 32, 4, 2, 1), nn.LeakyReLU(0.2),
            nn.Conv2d(32, 64, 4, 2, 1), nn.GroupNorm(4, 64), nn.LeakyReLU(0.2),
            nn.Conv2d(64, 1, 3, 1, 1),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, 1, H / 4, W / 4) logits."""
        score: Tensor = self.layers(x)
        return score


Perceive = Callable[[Tensor], Tensor]


def train_generators(
    faces: Sequence[Path],
    held_out: Sequence[Path],
    cache: Path,
    perceive: Perceive,
    *,
    steps: int,
    seed: int,
) -> Iterator[tuple[str, float]]:
    """Train every generator that the cache does not hold yet.

    Args:
        faces: ``frames.npy`` files of the training side.
        held_out: those of the validation side: its generators learn from them.
        cache: prepared faces; the generators go to its folder ``generators``.
        perceive: maps pictures ``(N, 3, H, W)`` in [-1, 1] to features that are compared.
        steps: of the optimizer, per generator.
        seed: of crops and start weights.

    Yields:
        Name and mean absolute error over the last tenth of the steps, of full scale.
    """
    folder = cache / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for number, spec in enumerate(GENERATORS):
        path = folder / f"{spec.name}.safetensors"
        if path.exists():
            continue
        torch.manual_seed(seed + number)
        files = faces if spec.split == "train" else held_out
        crops = _crops(files, np.random.default_rng((seed, number)))
        generator = Generator(spec).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        error = _fit(generator, crops, perceive, steps)
        partial = path.with_suffix(".partial")
        state = {key: value.contiguous() for key, value in generator.state_dict().items()}
        save_file(state, partial, metadata={"spec": json.dumps(asdict(spec))})
        partial.replace(path)
        yield spec.name, error


def shipped() -> Path | None:
    """The folder of the generators that ship beside the weights; None where they do not, as in a wheel."""
    folder = find_root() / "checkpoints" / FOLDER
    there = all((folder / f"{spec.name}.safetensors").is_file() for spec in GENERATORS)
    return folder if there else None


def take_shipped(cache: Path) -> list[str]:
    """Copy the generators that ship into the cache; those it holds already stay.

    Returns:
        Names of the copied ones.

    Raises:
        UsageError: none ship here.
    """
    source = shipped()
    if source is None:
        raise UsageError(f"no generators lie below {find_root()}: train them with --trunk.")
    folder = cache / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    taken = []
    for spec in GENERATORS:
        path = folder / f"{spec.name}.safetensors"
        if not path.exists():
            partial = path.with_suffix(".partial")
            shutil.copyfile(source / path.name, partial)
            partial.replace(path)
            taken.append(spec.name)
    return taken


def load_generators(cache: Path, split: str) -> list[Regenerator]:
    """The generators of one side of the split: trained ones and, in training, enlargers and retouchers."""
    wanted = [spec for spec in GENERATORS if spec.split == split]
    found: list[Regenerator] = (
        [*load_super_resolvers(cache / FOLDER), *RETOUCHERS] if split == "train" else []
    )
    for spec in wanted:
        path = cache / FOLDER / f"{spec.name}.safetensors"
        if path.exists():
            generator = Generator(spec).eval().requires_grad_(False)
            try:
                generator.load_state_dict(load_file(path))
            except RuntimeError:
                raise UsageError(f"{path} is of another version; delete it and train it again.") from None
            found.append(laid_out(generator))
    return found


def laid_out(generator: Generator) -> Generator:
    """A trained generator as it regenerates fastest: in channels_last memory, activations in place."""
    for part in generator.modules():
        if isinstance(part, nn.SiLU):
            part.inplace = True
    laid: Generator = generator.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return laid


def _crops(files: Sequence[Path], rng: np.random.Generator) -> Iterator[Tensor]:
    """Batches ``(8, 3, 128, 128)`` in [-1, 1], from squares shrunk as those that are regenerated."""
    while True:
        batch = []
        for file in rng.choice(np.asarray(files, dtype=object), BATCH):
            frames = np.load(file, mmap_mode="r")
            frame = np.ascontiguousarray(frames[int(rng.integers(len(frames)))])
            square = shrink(frame, INPUT_PX)
            y, x = rng.integers(16, INPUT_PX - CROP_PX - 15, 2)
            crop = square[y : y + CROP_PX, x : x + CROP_PX]
            batch.append(crop[:, ::-1] if rng.random() < 0.5 else crop)
        yield torch.from_numpy(np.stack(batch)).permute(0, 3, 1, 2).float() / 127.5 - 1


def _fit(generator: Generator, crops: Iterator[Tensor], perceive: Perceive, steps: int) -> float:
    optimizer: Any = torch.optim.AdamW(generator.parameters(), lr=2e-3, betas=(0.5, 0.99))
    critic = _Critic() if generator.spec.adversarial else None
    critic_optimizer: Any = None
    if critic is not None:
        critic_optimizer = torch.optim.AdamW(critic.parameters(), lr=5e-4, betas=(0.5, 0.99))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    errors: list[float] = []
    for step in range(steps):
        real = next(crops)
        drawn = generator(real)
        error = F.l1_loss(drawn, real)
        loss = error + F.l1_loss(perceive(drawn), perceive(real).detach())
        judged = critic is not None and step >= steps // 4
        if critic is not None and judged:
            loss = loss - 0.05 * critic(drawn).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        if critic is not None and judged:
            critic_optimizer.zero_grad(set_to_none=True)
            hinge = F.relu(1 - critic(real)).mean() + F.relu(1 + critic(drawn.detach())).mean()
            hinge.backward()  # type: ignore[no-untyped-call]
            critic_optimizer.step()
        errors.append(float(error.detach()) / 2)
    return float(np.mean(errors[-max(1, steps // 10) :]))
