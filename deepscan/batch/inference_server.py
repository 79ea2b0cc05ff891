"""The parent's side of the process that has the networks: starting it, ending it, and what it died of."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path

import msgspec

from deepscan.batch import inference_client
from deepscan.batch.inference_client import Address, Ready, error_of
from deepscan.batch.signals import ctrl_c_blocked
from deepscan.batch.worker import cause_of_death
from deepscan.config import ScanConfig
from deepscan.errors import WorkerError

PATIENCE_S = 5.0
ADVICE = "check the free memory of the GPU, or scan with --device cpu"


class Server:
    """The running process; ``address`` is where it answers."""

    def __init__(self, running: BaseProcess, address: Address) -> None:
        self.address = address
        self._process = running

    def death(self) -> WorkerError | None:
        """The error to end the run with, where the process has died."""
        self._process.join(0.5)  # its lines break a moment before it is gone
        if self._process.exitcode is None:
            return None
        cause = cause_of_death(self._process.exitcode)
        return WorkerError(f"the process that runs the networks died ({cause}); {ADVICE}")


@contextmanager
def serving(config: ScanConfig, batch: int | None, log: Path) -> Iterator[Server]:
    """Load the networks in a process of their own, and end it.

    Args:
        config: the settings; device and precision are resolved.
        batch: clips that a network takes at once; None: as the device wants.
        log: file for its stderr.

    Raises:
        DeepscanError: the networks do not load there.
    """
    spawn = get_context("spawn")
    key = secrets.token_bytes(32)
    ours, theirs = spawn.Pipe(duplex=False)
    running = spawn.Process(
        target=inference_client.run,
        args=(config, batch, key, log, theirs),
        name="deepscan-networks",
        daemon=True,
    )
    try:
        with ctrl_c_blocked():
            running.start()
        theirs.close()  # else nobody would notice that the process died before it said anything
        try:
            ready = msgspec.json.decode(ours.recv_bytes(), type=Ready)
        except EOFError:
            running.join()
            cause = cause_of_death(running.exitcode or 0)
            raise WorkerError(f"the process that loads the networks died ({cause}); {ADVICE}") from None
        if ready.error is not None:
            raise error_of(ready.kind, ready.error)
        yield Server(running, Address(ready.name, key))
    finally:
        ours.close()
        if running.pid is not None:
            running.terminate()
            running.join(PATIENCE_S)
            running.kill()
            running.join()
