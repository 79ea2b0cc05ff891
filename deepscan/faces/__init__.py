"""Faces in frames: found, followed, cut, told apart."""
