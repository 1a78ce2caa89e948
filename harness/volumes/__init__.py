"""Volumes: formats, splits, the shared cache, crops and augmentation.

Only `crops` and `augment` import torch; everything else serves planning too.
"""
