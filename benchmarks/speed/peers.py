"""What two pipelines of the usual kind take for the same clip: detect on every frame, classify every frame.

(a) classic: 32 frames, RetinaFace with a ResNet-50 trunk at full resolution, EfficientNet-B4 at 380 px.
(b) light:   32 frames, RetinaFace with a MobileNet-0.25 trunk at 640 px, EfficientNet-B4 at 380 px.

Both in torch with random weights. Random weights find no face, so one face a frame is assumed, and the
suppression of boxes that overlap is not counted, which favours the peers.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import footage
import measure
import numpy as np
import torch
from peer_nets import EfficientNetB4, MobileNetQuarter, ResNet50, RetinaFace
from rich.table import Table

from deepscan.config import ScanConfig
from deepscan.limits import thread_count
from deepscan.scanner import Scanner

FRAMES = 32
CROP_PX = 380
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Peer:
    """A per-frame pipeline; ``long_side_px`` is the detector's scale, None for full resolution."""

    def __init__(self, detector: RetinaFace, long_side_px: int | None) -> None:
        self.detector, self.classifier = detector.eval(), EfficientNetB4().eval()
        self.long_side_px = long_side_px

    @torch.inference_mode()
    def scan(self, path: Path, frames: int) -> float:
        """Mean probability over the frames; it means nothing."""
        scores = [self._look(frame) for frame in _frames(path, frames)]
        return float(torch.stack(scores).mean())

    def _look(self, bgr: footage.Rgb) -> torch.Tensor:
        h, w = bgr.shape[:2]
        zoom = self.long_side_px / max(h, w) if self.long_side_px else 1.0
        small = bgr if zoom == 1.0 else cv2.resize(bgr, (round(w * zoom), round(h * zoom)))
        shifted = small.astype(np.float32) - np.array([104, 117, 123], np.float32)
        found = self.detector(torch.from_numpy(shifted).permute(2, 0, 1)[None])[0]
        found[:, :2].softmax(1)[:, 1].topk(min(750, len(found)))
        side = min(h, w) // 2
        crop = cv2.resize(bgr[h - side :, (w - side) // 2 : (w + side) // 2], (CROP_PX, CROP_PX))
        rgb = (crop[..., ::-1].astype(np.float32) / 255 - np.array(MEAN, np.float32)) / np.array(
            STD, np.float32
        )
        return self.classifier(torch.from_numpy(rgb).permute(2, 0, 1)[None].contiguous()).softmax(1)[0, 1]


def _frames(path: Path, count: int) -> list[footage.Rgb]:
    """``count`` frames evenly over the file, read through as OpenCV does."""
    video = cv2.VideoCapture(str(path))
    total = int(video.get(cv2.CAP_PROP_FRAME_COUNT))
    wanted = set(np.linspace(0, total - 1, count).round().astype(int).tolist())
    frames = []
    for number in range(total):
        if not video.grab():
            break
        if number in wanted:
            frames.append(np.asarray(video.retrieve()[1], np.uint8))
    return frames


def classic() -> Peer:
    """Pipeline (a)."""
    return Peer(RetinaFace(ResNet50(), 256), None)


def light() -> Peer:
    """Pipeline (b)."""
    return Peer(RetinaFace(MobileNetQuarter(), 64), 640)


PEERS = {"classic": ("(a) classic", classic), "light": ("(b) light", light)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    measure.add_options(parser, "runs/bench-peers.json")
    parser.add_argument("--only", choices=PEERS, help="one peer; the classic one takes ten minutes or more")
    options = parser.parse_args()
    threads = thread_count()
    torch.set_num_threads(threads)
    frames, seconds, height, repeats = (1, 1, 360, 1) if options.quick else (FRAMES, 10, 1080, 3)
    with tempfile.TemporaryDirectory(prefix="deepscan-bench-") as name:
        (path,) = footage.make(Path(name), [footage.Clip("clip.mp4", seconds, None, height=height)])
        scanner = Scanner(ScanConfig(weights=options.weights, device="cpu"))
        chosen = [name for name in PEERS if options.only in (None, name)]
        peers = {PEERS[name][0]: PEERS[name][1]() for name in chosen}
        rows: dict[str, list[measure.Times]] = {
            "deepscan": _repeated(lambda: scanner.scan(path), repeats),
            **{
                title: _repeated(lambda p=peer: p.scan(path, frames), repeats, lambda p=peer: p.scan(path, 1))
                for title, peer in peers.items()
            },
        }
    ours = measure.middle(rows["deepscan"])
    table = Table(
        "", "wall s", "CPU s", "wall / deepscan", "CPU / deepscan", title=f"{seconds} s of {height}p, warm"
    )
    medians: dict[str, Any] = {}
    for title, times in rows.items():
        wall_s, cpu_s = middle = measure.middle(times)
        medians[title] = {"wall_s": wall_s, "cpu_s": cpu_s}
        ratios = (f"{mine / other:.1f}" for mine, other in zip(middle, ours, strict=True))
        table.add_row(title, f"{wall_s:.2f}", f"{cpu_s:.2f}", *ratios)
    measure.finish(
        options, {"frames": frames, "threads": threads, "times": rows, "medians": medians}, [table]
    )


def _repeated(
    work: Callable[[], object], repeats: int, warm_up: Callable[[], object] | None = None
) -> list[measure.Times]:
    """Warm: one go first that does not count, of ``warm_up`` where the work is the same for every frame."""
    (warm_up or work)()
    times = []
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        times.append((time.perf_counter() - wall, time.process_time() - cpu))
    return times


if __name__ == "__main__":
    main()
