"""Everything deepscan raises on purpose.

::

    DeepscanError                 exit code 2 when it reaches the command line
    +-- UsageError                a bad option, setting or missing path
    +-- MediaError                one input file; becomes that file's status, never stops a run
    |   +-- UnreadableMedia       cannot be opened or decoded            (status "unreadable")
    |   +-- UnsupportedMedia      opened, but holds no picture to look at (status "unsupported")
    +-- WeightsError              a model file is missing, altered or not listed in the manifest
    +-- FaceModelError            the face model does not load or is not a face detector
    +-- DeviceError               the device asked for is not available
    +-- ScoreError                a detector returned something that is not a probability
    +-- WorkerError               no worker process can be started, none survives loading the networks, or the
                                  one process that has them beside a GPU died

Messages say what happened, to which file, and what to do next.
"""

from __future__ import annotations

from typing import ClassVar, Literal

MediaFailure = Literal["unreadable", "unsupported"]


class DeepscanError(Exception):
    """Base of every error that deepscan raises on purpose."""


class UsageError(DeepscanError):
    """A bad option, setting or missing path."""


class MediaError(DeepscanError):
    """One input file could not be scanned; ``status`` is what its report says."""

    status: ClassVar[MediaFailure] = "unreadable"


class UnreadableMedia(MediaError):
    """The file cannot be opened or decoded."""

    status = "unreadable"


class UnsupportedMedia(MediaError):
    """The file opens but holds no picture that deepscan can look at."""

    status = "unsupported"


class WeightsError(DeepscanError):
    """A model file is missing, altered or not listed in the manifest."""


class FaceModelError(DeepscanError):
    """The face model does not load or is not a face detector."""


class DeviceError(DeepscanError):
    """The device asked for is not available."""


class ScoreError(DeepscanError):
    """A detector returned something that is not a probability."""


class WorkerError(DeepscanError):
    """No worker process can be started, none survives loading the networks, or their own process died."""
