"""Tuning GenD: fixed crops of cached faces, the lower layers once, and steps of the upper ones.

On two cores the whole of an encoder is slow to train. Its lower half stays as it is here, so that it runs
once for each crop; what learns are the layer normalisations of the upper layers, the last one and the head.
"""
