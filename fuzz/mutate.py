"""Seeded damage: mostly flipped bytes, now and then what storage and copying do to files."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Damage = Callable[[bytearray, np.random.Generator], bytearray]

_STRUCTURE_BYTES = 512  # headers and indexes lie at a file's ends


def _places(data: bytearray, rng: np.random.Generator, count: int) -> list[int]:
    """Positions to damage: half of the time anywhere, half of the time near the ends."""
    if rng.random() < 0.5:
        return [int(place) for place in rng.integers(0, len(data), count)]
    near = min(_STRUCTURE_BYTES, len(data))
    from_start = rng.random() < 0.6
    return [int(p) if from_start else len(data) - 1 - int(p) for p in rng.integers(0, near, count)]


def _flip_bits(count: int) -> Damage:
    def flip(data: bytearray, rng: np.random.Generator) -> bytearray:
        for place in _places(data, rng, count):
            data[place] ^= 1 << int(rng.integers(8))
        return data

    return flip


def _flip_bytes(count: int) -> Damage:
    def flip(data: bytearray, rng: np.random.Generator) -> bytearray:
        for place in _places(data, rng, count):
            data[place] ^= int(rng.integers(1, 256))
        return data

    return flip


def _extreme(data: bytearray, rng: np.random.Generator) -> bytearray:
    """A number of up to eight bytes becomes the smallest or the largest."""
    start, length = _places(data, rng, 1)[0], int(rng.choice([1, 2, 4, 8]))
    for place in range(start, min(start + length, len(data))):
        data[place] = 0xFF if length % 3 == 2 else int(rng.choice([0x00, 0x7F, 0xFF]))
    return data


def _hole(data: bytearray, rng: np.random.Generator) -> bytearray:
    start = int(rng.integers(len(data)))
    end = min(len(data), start + int(rng.integers(1, 1 + len(data) // 4)))
    data[start:end] = bytes(end - start)
    return data


def _cut_off(data: bytearray, rng: np.random.Generator) -> bytearray:
    return data[: int(rng.integers(1, len(data)))]


def _lose(data: bytearray, rng: np.random.Generator) -> bytearray:
    start = int(rng.integers(len(data)))
    del data[start : start + int(rng.integers(1, 64))]
    return data or bytearray(1)


def _repeat(data: bytearray, rng: np.random.Generator) -> bytearray:
    start = int(rng.integers(len(data)))
    piece = data[start : start + int(rng.integers(1, 1024))]
    data[start:start] = piece
    return data


def _append(data: bytearray, rng: np.random.Generator) -> bytearray:
    return data + data


APPENDED = "another copy appended"
DAMAGES: dict[str, tuple[float, Damage]] = {
    "1 bit": (0.15, _flip_bits(1)),
    "1 byte": (0.25, _flip_bytes(1)),
    "4 bytes": (0.15, _flip_bytes(4)),
    "20 bytes": (0.15, _flip_bytes(20)),
    "300 bytes": (0.05, _flip_bytes(300)),
    "extreme number": (0.1, _extreme),
    "hole": (0.05, _hole),
    "cut off": (0.04, _cut_off),
    "bytes lost": (0.02, _lose),
    APPENDED: (0.01, _append),
    "bytes repeated": (0.03, _repeat),
}


def mutant(seed: int, index: int, sources: dict[str, bytes]) -> tuple[str, str, bytes]:
    """Mutant number ``index``: name of its source, name of the damage, content. Always the same."""
    rng = np.random.default_rng([seed, index])
    names = list(sources)
    source = names[index % len(names)]
    kinds = list(DAMAGES)
    kind = str(rng.choice(kinds, p=[DAMAGES[name][0] for name in kinds]))
    return source, kind, bytes(DAMAGES[kind][1](bytearray(sources[source]), rng))
