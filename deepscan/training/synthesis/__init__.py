"""Forgeries made on the fly from real faces, each with its mask.

``masks``: which part of the face is replaced. ``blend``: a face blended with an altered copy of
itself, as image or as clip. ``degrade``: the compression and camera faults that real and fake share.
"""
