"""Many files: which ones, in which order, each in an isolated worker, and what the run amounts to.

::

    name_lists.py        lists of names -> paths
    run.py               what is known of a run before its first file
    pool.py              files -> reports in input order; the parent's side of the workers and their limits
    worker.py            what runs inside a worker process
    inference_server.py  starts and ends the one process that has the networks, where there is a GPU
    inference_client.py  what runs in it, and the workers' line to it
    batcher.py           clips of many files -> batches for one device
    signals.py           Ctrl-C is for the parent
    memory.py            ends a worker that takes more memory than it may
    cache.py             results by content, kept for ``--cache`` and ``--resume``
    baseline.py          findings that somebody has looked at and accepted

Choices where nothing else says so:

- Every file is scanned in a worker process, with one job too. A crash, a hang or a memory bomb costs the
  file that the worker had in hand; the next file gets a new worker.
- Workers share nothing: each has its own pipe, so one that dies in the middle of a message harms no other.
- Beside a GPU they share the process that has the networks. It batches their clips; if it dies the run ends.
- What is wrong with all files (weights, face model, device, a network that returns NaN) ends the run.
- ``seconds`` is the only part of a report that differs between two runs, whatever the number of workers; on
  a GPU the last digits of scores may, with the clips that were batched.
"""

from __future__ import annotations

from deepscan.batch.baseline import Baseline, read_baseline, write_baseline
from deepscan.batch.cache import ResultStore, open_store
from deepscan.batch.name_lists import STDIN, read_names
from deepscan.batch.pool import scan_files
from deepscan.batch.run import begin
from deepscan.media.discovery import Survey, survey

__all__ = [
    "STDIN",
    "Baseline",
    "ResultStore",
    "Survey",
    "begin",
    "open_store",
    "read_baseline",
    "read_names",
    "scan_files",
    "survey",
    "write_baseline",
]
