"""The networks: ``network`` in the folder of each detector, its loss beside it.

``build("gml")`` makes a network with fresh weights. Modules are imported when they are asked for, so that
work on one network does not load the others.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any, Protocol, cast, runtime_checkable

from torch import Tensor, nn

from deepscan.detectors import SPECS
from deepscan.detectors.registry import recipe_of_detector
from deepscan.detectors.spec import DetectorSpec


@runtime_checkable
class Net(Protocol):
    """What training, evaluation and export ask of a network. Every ``Net`` is an ``nn.Module`` as well.

    ``x`` is normalised float: clips (B, T, 3, H, W), single frames (B, 3, H, W). ``output`` is the
    network's own NamedTuple of tensors.
    """

    spec: DetectorSpec

    def __call__(self, x: Tensor) -> Any:
        """Runs the network."""

    def probability(self, output: Any) -> Tensor:
        """(B,) in [0, 1]: probability that the face is forged."""

    def evidence(self, output: Any) -> dict[str, Tensor]:
        """Evidence maps, keyed as in ``spec.evidence``."""

    def loss(self, output: Any, label: Tensor, forged: Tensor | None, face: Tensor | None) -> Tensor:
        """Scalar. ``label`` (B,) int64, 1 = forged; masks float [0, 1] (B, [T,] H, W), None without masks."""


def build(name: str, **options: Any) -> Net:
    """A network with fresh weights.

    Args:
        name: a key of ``NETS``.
        options: keyword arguments of the network's class, such as ``depth=101`` for ``resnet3d``.

    Raises:
        KeyError: no detector has this name.
    """
    cls = recipe_of_detector(name).network
    made = getattr(import_module(f"deepscan.detectors.{name}.network"), cls)(**options)
    assert isinstance(made, nn.Module)
    return cast(Net, made)


NETS: dict[str, Callable[[], Net]] = {name: partial(build, name) for name in SPECS}
