"""What a check of the surroundings found: one line each, with what to do about it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

Grade = Literal["ok", "warn", "fail"]


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. advice: what to do; '' where all is well."""

    name: str
    grade: Grade
    said: str
    advice: str = ""

    def to_text(self) -> str:
        """Return the line for people."""
        advice = f" - {self.advice}" if self.advice else ""
        return f"{self.grade:<4}  {self.name}: {self.said}{advice}"

    def to_json(self) -> dict[str, str]:
        """Return the fields as JSON values."""
        return asdict(self)
