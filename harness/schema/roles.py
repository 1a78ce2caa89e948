"""How a method's encoder gets its weights: what a plan does for each kind of method.

| role | weights | nodes before an adaptation |
|---|---|---|
| pretrained | a loss on unlabelled volumes | one `pretrain` per pretraining seed |
| supervised | a loss on a labelled source task | one `pretrain` per pretraining seed |
| checkpoint | a file that others trained | one `pretrain`, without a seed |
| baseline | drawn when the adaptation starts | none |
| fusion | those of its members | those of its members |
| system | its own business: it has no encoder | none |
"""

from __future__ import annotations

from typing import Literal

Role = Literal["pretrained", "supervised", "checkpoint", "baseline", "fusion", "system"]

# Roles whose encoder is minimised on a corpus, unlabelled or labelled, from a seed.
TRAINED: frozenset[Role] = frozenset({"pretrained", "supervised"})
# Roles that have a pretrain node of their own.
PUBLISHED: frozenset[Role] = frozenset({"pretrained", "supervised", "checkpoint"})
