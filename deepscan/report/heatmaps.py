"""Evidence as image files: crops, heat over a crop, heat alone."""

from __future__ import annotations

import base64
import io

import cv2
import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image

from deepscan.detectors.spec import EvidenceView, Map

Rgb = NDArray[np.uint8]

OPACITY = 0.75  # of the hottest place


def heat_rgba(values: Map) -> NDArray[np.uint8]:
    """A map in [0, 1] as colours that are clear where it is 0: ``(h, w)`` -> ``(h, w, 4)`` uint8."""
    levels = np.rint(np.clip(values, 0.0, 1.0) * 255).astype(np.uint8)
    # The darkest fifth of the scale would read as shadow on a face.
    bgr = cv2.applyColorMap((51 + 0.8 * levels).astype(np.uint8), cv2.COLORMAP_INFERNO)
    alpha = np.rint(levels * OPACITY).astype(np.uint8)
    return np.dstack([bgr[:, :, ::-1], alpha])


def overlay(picture: Rgb, values: Map, view: EvidenceView) -> Rgb:
    """Heat laid over the crop it belongs to: ``(S, S, 3)`` -> the same."""
    size = picture.shape[0]
    x0, y0, x1, y1 = (round(share * size) for share in view.extent)
    smooth = cv2.resize(values, (x1 - x0, y1 - y0), interpolation=cv2.INTER_LINEAR)
    heat = heat_rgba(np.asarray(smooth, np.float32)).astype(np.float32)
    alpha = heat[:, :, 3:] / 255
    mixed = picture.astype(np.float32)
    mixed[y0:y1, x0:x1] = (1 - alpha) * mixed[y0:y1, x0:x1] + alpha * heat[:, :, :3]
    return np.rint(mixed).astype(np.uint8)


def shrunk(picture: Rgb, size_px: int) -> Rgb:
    """A square picture at no more than ``size_px``."""
    if picture.shape[0] <= size_px:
        return picture
    return np.asarray(cv2.resize(picture, (size_px, size_px), interpolation=cv2.INTER_AREA), np.uint8)


def png(pixels: NDArray[np.uint8]) -> bytes:
    """``(h, w, 3)`` or ``(h, w, 4)`` as a PNG file."""
    return _encoded(pixels, "PNG", optimize=True)


def webp(pixels: Rgb) -> bytes:
    """``(h, w, 3)`` as a small WebP file."""
    return _encoded(pixels, "WEBP", quality=72, method=4)


def png_uri(pixels: NDArray[np.uint8]) -> Markup:
    """A ``data:`` address that holds the PNG; has nothing to escape."""
    return Markup(f"data:image/png;base64,{base64.b64encode(png(pixels)).decode('ascii')}")


def webp_uri(pixels: Rgb) -> Markup:
    """A ``data:`` address that holds the WebP; has nothing to escape."""
    return Markup(f"data:image/webp;base64,{base64.b64encode(webp(pixels)).decode('ascii')}")


def _encoded(pixels: NDArray[np.uint8], form: str, **options: int | bool) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, form, **options)
    return stream.getvalue()
