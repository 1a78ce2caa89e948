"""When a rate falls, or a training ends, since validations no longer improve.

Both follow from the validations so far, which the curves hold and a checkpoint brings
back: a resumed training decides as one that was never interrupted.
"""

from __future__ import annotations

from .curves import Curves
from .optimise import rank

_FALL = 0.1  # METHODS 2.7


class Patience:
    """plateau, early_stop: as in the settings of `finetune`; None never falls, or ends.

    A validation is better than another as the weights that are kept are: by its score,
    and by its loss where scores tie.
    """

    def __init__(
        self, curves: Curves, *, plateau: int | None, early_stop: int | None
    ) -> None:
        self._curves, self._plateau, self._early_stop = curves, plateau, early_stop

    def share(self) -> float:
        """Return the share of the rate that is left.

        As torch's ReduceLROnPlateau: it falls once more than `plateau` validations in a
        row were not the best so far, and counts anew from there.
        """
        if self._plateau is None:
            return 1.0
        falls = idle = 0
        for better in self._improvements():
            idle = 0 if better else idle + 1
            if idle > self._plateau:
                falls, idle = falls + 1, 0
        return float(_FALL**falls)

    def is_over(self) -> bool:
        """Say whether the last `early_stop` validations were all not the best so far."""
        if self._early_stop is None:
            return False
        last = self._improvements()[-self._early_stop :]
        return len(last) == self._early_stop and not any(last)

    def _improvements(self) -> list[bool]:
        """Return, for every validation, whether it was the best so far."""
        found: list[bool] = []
        best: tuple[float, float] | None = None
        for each in self._curves.validations():
            own = rank(each.get("score"), each["loss"])
            found.append(best is None or own > best)
            best = own if found[-1] else best
        return found
