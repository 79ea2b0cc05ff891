"""Fitting a network: steps, checkpoints, start weights, means of weights."""
