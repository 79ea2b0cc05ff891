"""How ONNX Runtime runs every network here on a CPU, the detectors' and the one that finds faces."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import onnxruntime

# For Windows, whose build asks no variable, and where ONNX Runtime was loaded before deepscan.
onnxruntime.disable_telemetry_events()


def session_options(threads: int) -> Any:
    """How every network here runs on the CPU, the face detector too: ``onnxruntime.SessionOptions``."""
    _share_memory()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.use_deterministic_compute = True
    options.log_severity_level = 3  # errors only: warnings would land between the report's lines
    # Each session has a thread pool. Threads that spin while they wait take the cores from the decoder
    # and the other workers: on a busy machine sleeping ones measured a quarter less wall time.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.use_env_allocators", "1")
    # A planned block for a whole run would lie beside what the run before it left in the arena.
    options.enable_mem_pattern = False
    return options


@lru_cache(maxsize=1)
def _share_memory() -> None:
    """Give all networks of this process one arena for activations.

    One or two run at a time, so that their worth is enough; each with an arena of its own keeps the largest
    it ever needed. Three quarters of a worker's memory were idle arenas.
    """
    arena = onnxruntime.OrtArenaCfg(
        {
            "max_mem": 0,
            "arena_extend_strategy": 0,
            "initial_chunk_size_bytes": -1,
            "max_dead_bytes_per_chunk": -1,
        }
    )
    memory = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    onnxruntime.create_and_register_allocator(memory, arena)
