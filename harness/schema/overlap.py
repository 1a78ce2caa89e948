"""What the column `overlap` of cells says: that their method had seen the task before."""

from __future__ import annotations

from collections.abc import Mapping

UPPER_BOUND = "upper bound"
SEEN = "seen in pretraining"
SENTENCES: Mapping[str, str] = {
    UPPER_BOUND: "Upper bound: the encoder learnt from labels of this task's patients; "
    "such a method is never the best of a column and stands in no ranking.",
    SEEN: "Seen in pretraining: the encoder was pretrained on test images of this task.",
}
