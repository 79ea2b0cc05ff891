"""One process has the networks, and the workers ask it: what runs on either end of the line between them.

Beside a GPU every worker decodes, finds faces and cuts clips, as ever, and a crash there costs one file. Its
networks are elsewhere: one process owns the GPU and puts clips of several workers into batches.

A worker's line carries one question at a time: a ``Question`` as JSON, the clips as they lie in memory, then
an ``Reply`` and its arrays. Nothing is pickled, so that a worker that a hostile file has taken over cannot
make the other end run code. A pipe is fast enough: a file's clips are some 30 MB.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from multiprocessing.connection import Client, Connection, Listener
from multiprocessing.context import AuthenticationError
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from deepscan import errors
from deepscan.batch import worker
from deepscan.batch.batcher import Batcher
from deepscan.config import ScanConfig
from deepscan.errors import DeepscanError, WorkerError
from deepscan.inference.loading import load_placed, place
from deepscan.inference.session import Network
from deepscan.weights import Weights

DEAD = "the process that runs the networks does not answer any more"


@dataclass(frozen=True)
class Address:
    """Address of the process that runs the networks, and the key that authenticates a connection to it."""

    name: str
    key: bytes


class Offer(msgspec.Struct):
    """What one network can do; see ``Network``."""

    outputs: tuple[str, ...]
    batch: int
    any_length: bool


class Question(msgspec.Struct):
    """Clips for one detector; their pixels follow."""

    detector: str
    shape: tuple[int, ...]
    outputs: tuple[str, ...]


class Reply(msgspec.Struct):
    """Type and shape of each array that follows, or what went wrong and the name of the error's class."""

    arrays: list[tuple[str, tuple[int, ...]]] = []
    error: str | None = None
    kind: str = ""


class Ready(msgspec.Struct):
    """First message of the process: its address, or why the networks do not load."""

    name: str = ""
    error: str | None = None
    kind: str = ""


def run(config: ScanConfig, batch: int | None, key: bytes, log: Path, ready: Connection) -> None:
    """The process that has the networks, until it is ended.

    Args:
        config: the settings; device and precision are resolved.
        batch: clips that a network takes at once; None: as the device wants.
        key: for the lines.
        log: file for its stderr.
        ready: gets a ``Ready``.
    """
    worker.isolate_process(log)
    try:
        weights = Weights(config.weights)
        loaded = load_placed(config, weights, place(config, weights), batch)
    except DeepscanError as error:
        ready.send_bytes(msgspec.json.encode(Ready(error=str(error), kind=type(error).__name__)))
        return
    with Listener(backlog=64, authkey=key) as listener:
        ready.send_bytes(msgspec.json.encode(Ready(name=str(listener.address))))
        answer_all(listener, Batcher(loaded))


def answer_all(listener: Listener, batcher: Batcher) -> None:
    """Answer everybody who calls, until the listener is closed."""
    while True:
        try:
            line = listener.accept()
        except (EOFError, AuthenticationError, ConnectionError):
            continue  # whoever called has gone, or does not belong here
        except OSError:
            return
        threading.Thread(target=_answer, args=(line, batcher), daemon=True).start()


def _answer(line: Connection, batcher: Batcher) -> None:
    """Answer one worker until its connection ends; answers that it still waits for are then discarded."""
    offers = {
        name: Offer(network.outputs, network.batch, network.any_length)
        for name, network in batcher.networks.items()
    }
    with line:
        try:
            line.send_bytes(msgspec.json.encode(offers))
            while True:
                question = msgspec.json.decode(line.recv_bytes(), type=Question)
                # The pixels stay in the pipe, and the worker waits, until there is room for them.
                with batcher.room(question.shape[0]):
                    pixels = np.frombuffer(line.recv_bytes(prod(question.shape)), np.uint8)
                    answer, arrays = _ask(batcher, question, pixels.reshape(question.shape))
                line.send_bytes(msgspec.json.encode(answer))
                for array in arrays:
                    line.send_bytes(array.tobytes())
        except (EOFError, OSError, ValueError, msgspec.MsgspecError):
            return  # what is no question is answered by hanging up


def _ask(
    batcher: Batcher, question: Question, pixels: NDArray[np.uint8]
) -> tuple[Reply, Sequence[NDArray[Any]]]:
    try:
        found = batcher.ask(question.detector, pixels, question.outputs)
    except Exception as error:
        return Reply(error=str(error), kind=type(error).__name__), ()
    arrays = [found[name] for name in question.outputs]
    return Reply([(array.dtype.str, array.shape) for array in arrays]), arrays


class ServedNetwork:
    """A network that another process has; see ``Network``."""

    def __init__(self, line: _Line, detector: str, offer: Offer) -> None:
        self.outputs = offer.outputs
        self.batch = offer.batch
        self.any_length = offer.any_length
        self._line = line
        self._detector = detector

    def run(self, pixels: NDArray[np.uint8], outputs: Sequence[str]) -> dict[str, NDArray[Any]]:
        """As ``Session.run``; raises WorkerError, too, when the other process has died."""
        return self._line.ask(self._detector, pixels, outputs)


class _Line:
    """A worker's end of the line, for one thread at a time."""

    def __init__(self, address: Address) -> None:
        self._lock = threading.Lock()
        try:
            self._line = Client(address.name, authkey=address.key)
            self.offers = msgspec.json.decode(self._line.recv_bytes(), type=dict[str, Offer])
        except (EOFError, OSError, AuthenticationError) as error:
            raise WorkerError(DEAD) from error

    def ask(
        self, detector: str, pixels: NDArray[np.uint8], outputs: Sequence[str]
    ) -> dict[str, NDArray[Any]]:
        question = Question(detector, pixels.shape, tuple(outputs))
        with self._lock:
            try:
                self._line.send_bytes(msgspec.json.encode(question))
                self._line.send_bytes(np.ascontiguousarray(pixels).tobytes())
                answer = msgspec.json.decode(self._line.recv_bytes(), type=Reply)
                if answer.error is not None:
                    raise error_of(answer.kind, answer.error)
                values = [
                    np.frombuffer(self._line.recv_bytes(), dtype).reshape(shape)
                    for dtype, shape in answer.arrays
                ]
            except (EOFError, OSError) as error:
                raise WorkerError(DEAD) from error
        return dict(zip(outputs, values, strict=True))


def connect(address: Address, config: ScanConfig, weights: Weights) -> Mapping[str, Network]:
    """The networks of the process at ``address``, as ``networks.load`` has them. Raises WorkerError."""
    line = _Line(address)
    return {name: ServedNetwork(line, name, line.offers[name]) for name in config.detectors}


def error_of(kind: str, sentence: str) -> Exception:
    """An error that another process told of; one that is none of ours is an internal one here, too."""
    known = getattr(errors, kind, None)
    if isinstance(known, type) and issubclass(known, DeepscanError):
        return known(sentence)
    return RuntimeError(f"{kind}: {sentence}")
