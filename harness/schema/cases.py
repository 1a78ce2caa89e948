"""A case: one image, or one image set of one patient at one time, with its label."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Side = Literal["train", "val", "test"]


@dataclass(frozen=True, slots=True)
class CaseRef:
    """What a listing says of a case without reading its voxels.

    images: one path per channel, relative to the dataset's folder (empty if generated);
    label: path of the label map, or None; target: class index, or None;
    side: the publisher's side, or None; stamp: what changes when the files change.
    """

    case_id: str
    group_id: str
    images: tuple[str, ...] = ()
    label: str | None = None
    target: int | None = None
    side: Side | None = None
    stamp: str = ""
