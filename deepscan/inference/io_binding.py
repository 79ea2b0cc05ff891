"""Runs of a network whose input lies at a fixed place in the device's memory (ONNX Runtime's IO binding).

A plain run allocates device memory for its input every time and gives it back. Here the pixels of each shape
have a place of their own, to which they are copied; the shapes are few, because batches are filled up.
Outputs are small and go straight to the host.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray


class BoundRuns:
    """One network's runs, one at a time: they share the input's place.

    Args:
        session: an ``onnxruntime.InferenceSession`` with the one input ``pixels``.
        memory: ``cuda`` or ``cpu``, where the input is wanted.
    """

    def __init__(self, session: Any, memory: str) -> None:
        self._session = session
        self._memory = memory
        self._places: dict[tuple[int, ...], Any] = {}
        self._lock = threading.Lock()

    def run(self, pixels: NDArray[np.uint8], outputs: Sequence[str]) -> list[NDArray[Any]]:
        """The outputs, in the order asked for. Raises what ONNX Runtime raises."""
        with self._lock:
            place = self._places.get(pixels.shape)
            if place is None:
                place = onnxruntime.OrtValue.ortvalue_from_shape_and_type(
                    pixels.shape, np.uint8, self._memory, 0
                )
                self._places[pixels.shape] = place
            place.update_inplace(np.ascontiguousarray(pixels))
            binding = self._session.io_binding()
            binding.bind_ortvalue_input("pixels", place)
            for name in outputs:
                binding.bind_output(name, "cpu")
            self._session.run_with_iobinding(binding)
            binding.synchronize_outputs()
            # Copied: the memory belongs to the binding, which ends here.
            return [np.array(value.numpy()) for value in binding.get_outputs()]
