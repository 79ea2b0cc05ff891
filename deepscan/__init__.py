"""deepscan: says whether the faces in a video or photo were forged.

::

    import deepscan

    report = deepscan.scan("video.mp4")
    print(report.verdict, report.probability)

Importing the package is cheap: the networks and the decoder load with the first scan.
"""

from __future__ import annotations

import os
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deepscan.config import ScanConfig
    from deepscan.scanner import FileReport, Scanner

__all__ = ["FileReport", "ScanConfig", "__version__", "scan"]

__version__ = "0.1.0"

# Nothing leaves the machine: ONNX Runtime reads this once, when it is loaded, and would else keep a device id
# and events below the user's cache and send them to its maker. Worker processes inherit it.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"


def scan(path: str | os.PathLike[str], config: ScanConfig | None = None) -> FileReport:
    """Scan one video or photo.

    The networks stay loaded for the next call with the same settings.

    Args:
        path: the file.
        config: settings; None: the defaults (no environment, no configuration file).

    Returns:
        The report. A file that cannot be read has the status ``unreadable`` and says why in ``error``.

    Raises:
        DeepscanError: not this file's fault: weights, face model or device (see ``deepscan.errors``).
    """
    from deepscan.config import ScanConfig

    return _scanner(config or ScanConfig()).scan(Path(path))


@lru_cache(maxsize=1)
def _scanner(config: ScanConfig) -> Scanner:
    from deepscan.scanner import Scanner

    return Scanner(config)


def __getattr__(name: str) -> Any:
    if name == "ScanConfig":
        return import_module("deepscan.config").ScanConfig
    if name == "FileReport":
        return import_module("deepscan.results").FileReport
    raise AttributeError(f"module 'deepscan' has no attribute {name!r}")
