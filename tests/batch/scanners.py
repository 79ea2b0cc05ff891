"""Scanners that do what their file's name says; they run in real worker processes."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from pathlib import Path

import numpy as np

from deepscan.config import ScanConfig
from deepscan.errors import ScoreError, WeightsError
from deepscan.scan import FileReport
from tests.report.sample import failed, real, scanned


class Everything:
    """Finds nothing wrong, or ``fake`` where the content starts with that word."""

    def __init__(self, config: ScanConfig) -> None:
        self.config = config

    def scan(self, path: Path) -> FileReport:
        if not path.is_file():
            return failed(str(path))
        kind = scanned if path.read_bytes().startswith(b"fake") else real
        return kind(str(path))


class Trouble(Everything):
    """``crash``, ``kill``, ``hang``, ``bomb``, ``bug``, ``nan``: files named like this come to that."""

    def scan(self, path: Path) -> FileReport:
        kind = path.name.split(".")[0].rstrip("0123456789")
        if kind == "crash":
            ctypes.string_at(0)
        elif kind == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif kind == "hang":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # as native code does that never comes back
            time.sleep(600)
        elif kind == "bomb":
            kept = []
            while True:
                kept.append(np.ones(1 << 23))
        elif kind == "bug":
            raise ZeroDivisionError("division by \x1b[31mzero")
        elif kind == "nan":
            raise ScoreError("nan.mp4: gml returned NaN")
        elif kind == "slow":
            time.sleep(0.5)
        return super().scan(path)


class NamesItsProcess(Everything):
    """Puts the process's number where an error stands."""

    def scan(self, path: Path) -> FileReport:
        return failed(str(path), "no_face", str(os.getpid()))


class NoWeights(Everything):
    """Cannot be loaded."""

    def __init__(self, config: ScanConfig) -> None:
        raise WeightsError("gml.onnx: the model file of gml is missing")


class DiesLoading(Everything):
    """Dies before it has seen a file."""

    def __init__(self, config: ScanConfig) -> None:
        os.kill(os.getpid(), signal.SIGSEGV)


class Counting(Everything):
    """Appends a line to ``count`` beside each file that it really scans."""

    def scan(self, path: Path) -> FileReport:
        with path.parent.joinpath("count").open("ab") as stream:
            stream.write(os.fsencode(path.name) + b"\0")
        return super().scan(path)
