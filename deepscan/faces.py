"""Frames -> faces."""

from __future__ import annotations

from deepscan.face_engine import Face, FaceEngine

__all__ = ["Face", "FaceEngine"]
