"""A linear decoder on a frozen encoder, trained as a fine-tuning is (METHODS 2.4).

What is trained differs, not how: the network is networks.LinearSegmenter.
"""

from __future__ import annotations

from .finetune import finetune
from .implementation import Implementation

IMPLEMENTATION = Implementation(finetune)
