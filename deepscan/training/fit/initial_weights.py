"""Start weights by name: the shipped checkpoints, a run of one's own, or a public checkpoint.

Public checkpoints are told by their tensors: an ImageNet Xception (safetensors) for GML, a torchvision
ResNet-18 for SOLA and ResNet-34 for global-local, a 3D-ResNet of the PyTorch Kinetics family for the 3D
ResNet. They may lie under ``state_dict``, with ``module.`` before each name. No pickle is ever run.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, cast

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from deepscan.detectors.registry import recipe_of_detector
from deepscan.errors import UsageError
from deepscan.training.export.onnx import load_weights
from deepscan.training.networks import Net
from deepscan.weights import find_root

SHIPPED = "shipped"
NOTHING = "none"


def find_start(name: str, detector: str) -> Path | None:
    """What ``--init`` names: ``none``, ``shipped`` or a file.

    Raises:
        UsageError: there is no such file, or no checkpoint of this detector ships.
    """
    if name == NOTHING:
        return None
    if name == SHIPPED:
        path = find_root() / "checkpoints" / f"{detector}.safetensors"
        if not path.is_file():
            there = ", ".join(sorted(one.stem for one in path.parent.glob("*.safetensors"))) or "none"
            raise UsageError(f"no checkpoint of {detector} ships beside the weights ({there} do).")
        return path
    path = Path(name)
    if not path.is_file():
        raise UsageError(f"{path}: there is no such file to start from; or say `shipped` or `none`.")
    return path


def start_from(net: Net, init: Path) -> None:
    """Load start weights into a fresh network.

    Raises:
        UsageError: the file is damaged or holds another network; the message says what would do.
    """
    with _explained(net, init, recipe_of_detector(net.spec.name).public_weights):
        if init.suffix == ".safetensors":
            _load_safetensors(net, init)
        else:
            _load_pickled(net, init)


def load_trained(net: Net, checkpoint: Path) -> None:
    """Load a network that was trained here: a run's checkpoint, or safetensors as they ship.

    Raises:
        UsageError: the file is damaged or holds something else, a public checkpoint for one.
    """
    with _explained(net, checkpoint):
        if checkpoint.suffix == ".safetensors":
            load_weights(net, checkpoint)
        else:
            state = torch.load(checkpoint, map_location="cpu", weights_only=True)
            cast(nn.Module, net).load_state_dict(state["model"])


@contextmanager
def _explained(net: Net, path: Path, public: str = "") -> Iterator[None]:
    """Whatever goes wrong with a file of weights, as one sentence that says what would do."""
    try:
        yield
    except (OSError, EOFError, KeyError, ValueError, TypeError, RuntimeError) as error:
        raise _wrong(net, path, str(error), public) from None
    except (UnpicklingError, SafetensorError) as error:
        raise _wrong(net, path, f"it cannot be read ({type(error).__name__})", public) from None


def _load_safetensors(net: Net, init: Path) -> None:
    load_imagenet = getattr(net, "load_imagenet", None)
    try:
        load_weights(net, init)
    except RuntimeError:
        if load_imagenet is None:
            raise ValueError("its tensors have other names or shapes") from None
        load_imagenet(init)


def _load_pickled(net: Net, init: Path) -> None:
    state = torch.load(init, map_location="cpu", weights_only=True)
    module = cast(nn.Module, net)
    if "model" in state and "step" in state:
        module.load_state_dict(state["model"])
        return
    tensors = plain_state(state)
    load_public = getattr(net, "load_public", module.load_state_dict)
    with torch.no_grad():
        load_public(tensors)


def plain_state(loaded: Any) -> dict[str, Tensor]:
    """A state dict, taken out of ``state_dict`` and freed of ``module.`` prefixes."""
    state = loaded.get("state_dict", loaded)
    return {str(name).removeprefix("module."): tensor for name, tensor in state.items()}


def _wrong(net: Net, init: Path, reason: str, public: str) -> UsageError:
    others = f", or {public}" if public else ""
    return UsageError(
        f"{init} does not hold weights of {net.spec.name}: {' '.join(reason.split())[:200]}. "
        f"What does: a checkpoint of `deepscan train fit {net.spec.name}`, a shipped one{others}."
    )
