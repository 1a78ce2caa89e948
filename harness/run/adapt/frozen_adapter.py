"""A ViT-Adapter around a frozen ViT, trained as a fine-tuning is (METHODS 2.3).

What is trained differs, not how: the network is networks.AdapterSegmenter.
"""

from __future__ import annotations

from .finetune import finetune
from .implementation import Implementation

IMPLEMENTATION = Implementation(finetune)
