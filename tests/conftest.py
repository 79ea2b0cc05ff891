"""Media that many tests look at and none changes, made once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import deepscan  # noqa: F401  # turns ONNX Runtime's telemetry off before a test loads that
from tests.fixtures import make

if TYPE_CHECKING:
    from tests.fixtures.small_gend import Encoded


@pytest.fixture(scope="session")
def media_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the session's shared media lie."""
    return tmp_path_factory.mktemp("media")


@pytest.fixture(scope="session")
def clip(media_dir: Path) -> Path:
    """A moving portrait: mp4, 2 s, 25 frames a second, 256 px."""
    return make.portrait_clip(media_dir / "portrait.mp4", 2.0)


@pytest.fixture(scope="session")
def two_faces(media_dir: Path) -> Path:
    """Two moving portraits side by side: mp4, 2 s, 512 x 256 px."""
    return make.two_portraits_clip(media_dir / "two.mp4", 2.0)


@pytest.fixture(scope="session")
def faceless(media_dir: Path) -> Path:
    """A second of moving gradient."""
    return make.faceless_clip(media_dir / "faceless.mp4")


@pytest.fixture(scope="session")
def portrait_photo(media_dir: Path) -> Path:
    """A JPEG of the portrait, 256 x 384 px."""
    return make.photo(media_dir / "portrait.jpg")


@pytest.fixture(scope="session")
def encoded(tmp_path_factory: pytest.TempPathFactory) -> Encoded:
    """A small encoder with its tuning, as files."""
    from tests.fixtures import small_gend

    return small_gend.encoded(tmp_path_factory.mktemp("encoded"))
