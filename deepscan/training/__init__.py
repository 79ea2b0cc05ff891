"""Training: networks, pseudo-forgeries, the loop, evaluation, calibration and export.

Needs the ``train`` extra. Scanning never imports this package.
"""
