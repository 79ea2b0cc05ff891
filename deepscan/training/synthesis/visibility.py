"""Whether a forgery can be seen at all, at the size at which a detector looks at it.

Draws are independent, so now and then they add up to next to nothing: a mouth blended with itself at a
quarter, a patch from a moment at which nothing had moved. Calling such a picture forged teaches noise.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from deepscan.training.synthesis.self_blend import Pair

Image = NDArray[np.uint8]
LEAST_TRACE = {"self-blend": 16.0, "reenactment": 16.0, "resynthesis": 5.0}
"""Levels of ``trace`` from which a type's forgery counts; the others change every pixel of a face."""
MOST_CHANGED = 0.05
"""Share of the face that a trace is taken over: a mouth's."""
TRIES = 4


def trace(real: Image, fake: Image, face: NDArray[np.float32]) -> float:
    """How much the part of a face that differs most differs.

    Args:
        real: ``(T, S, S, 3)`` uint8, as a detector sees it.
        fake: the same clip, forged.
        face: ``(T, S, S)`` float32, above 0.5 where the face is.

    Returns:
        Mean absolute difference in levels of 255, over colours and frames, of the ``MOST_CHANGED`` pixels of
        the face; 0 where no face is in the picture.
    """
    inside = face > 0.5
    if not inside.any():
        return 0.0
    difference = np.stack([cv2.absdiff(one, other) for one, other in zip(real, fake, strict=True)])
    apart = difference[inside] @ np.full(3, 1 / 3, np.float32)
    count = max(1, round(len(apart) * MOST_CHANGED))
    return float(np.partition(apart, -count)[-count:].mean())


def most_visible(manipulation: str, draw: Callable[[], Pair], seen: Callable[[Pair], float]) -> Pair:
    """The first draw of a forgery whose trace counts; after ``TRIES`` the plainest of them.

    Args:
        manipulation: of the forgery.
        draw: makes another one each time.
        seen: the ``trace`` of one.
    """
    best = draw()
    if manipulation not in LEAST_TRACE:
        return best
    most = seen(best)
    for _ in range(TRIES - 1):
        if most >= LEAST_TRACE[manipulation]:
            break
        other = draw()
        found = seen(other)
        if found > most:
            best, most = other, found
    return best
