"""The data of a task as a node needs it: cached voxels and what the listing says."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..registry import Content
from ..schema.cases import CaseRef
from ..schema.errors import DataError
from ..schema.task import TaskSpec
from ..volumes.cache import CachedDataset, build_cache, open_cache
from ..volumes.faults import gathered
from ..volumes.formats import (
    Dataset,
    RawCase,
    fingerprint,
    list_cases,
    open_dataset,
    read_case,
)
from .scratch import on_this_node


@dataclass(frozen=True)
class TaskData:
    """A task's voxels on the network's grid, its cases and its description."""

    name: str
    spec: TaskSpec
    cached: CachedDataset
    refs: Mapping[str, CaseRef]
    dataset: Dataset

    def check(self, ids: Sequence[str]) -> list[str]:
        """Return `ids` as a list.

        Raises DataError where the data lacks one of them, or it cannot be read.
        """
        if missing := [case_id for case_id in ids if case_id not in self.refs]:
            msg = (
                f"task {self.name!r} has no case {missing[0]!r} any more: plan again "
                "with the data as it is now"
            )
            raise DataError(msg)
        if faults := [self.unreadable[i] for i in ids if i in self.unreadable]:
            raise gathered(self.name, faults)
        return list(ids)

    def raw(self, case_id: str) -> RawCase:
        """Read a case anew, on its file's own grid. Raises DataError as `read_case`."""
        return read_case(self.dataset, self.refs[case_id])

    @property
    def unreadable(self) -> Mapping[str, str]:
        """What is wrong with cases that cannot be read, by their ids."""
        return self.cached.unreadable

    def readable(self, ids: Sequence[str], log: Callable[[str], None]) -> list[str]:
        """Return `ids` that can be read; the others are logged.

        Raises DataError as `check` does, for unreadable cases too unless the dataset
        says that they are left out of pretraining.
        """
        left_out = [case_id for case_id in ids if case_id in self.unreadable]
        if not left_out or not self.spec.skip_unreadable:
            return self.check(ids)
        log(f"{len(left_out)} of {len(ids)} cases of {self.name} cannot be read:")
        for case_id in left_out:
            log(f"  left out: {self.unreadable[case_id]}")
        return self.check([i for i in ids if i not in self.unreadable])

    def target(self, case_id: str) -> int:
        """Return the class of a case of a classification task."""
        target = self.refs[case_id].target
        if target is None:
            msg = f"case {case_id!r} of task {self.name!r} has no class"
            raise DataError(msg)
        return target


def open_task(
    name: str,
    where: Mapping[str, Any],
    *,
    results: Path,
    expected: str,
    log: Callable[[str], None],
) -> TaskData:
    """Open the cache of a task, and build it first where it is missing.

    where: `where` of a node's spec; expected: the data fingerprint of its identity.
    Raises DataError where the data is missing or no longer what was planned with.
    """
    spec = TaskSpec.model_validate(where["tasks"][name])
    generator = Content(tuple(Path(root) for root in where["content"])).generator(spec)
    roots = [Path(root) for root in where["data_roots"]]
    dataset = open_dataset(name, spec, roots, generator)
    cases = list_cases(dataset)
    if fingerprint(dataset, cases) != expected:
        msg = (
            f"the data of task {name!r} has changed since this cell was planned: "
            "run again, so that it is planned with the data as it is now"
        )
        raise DataError(msg)
    folder = results / where["cache"][name]
    if not folder.exists():
        log(f"preparing {len(cases)} cases of {name}")
        build_cache(dataset, cases, folder)
    cached = open_cache(on_this_node(folder, log))
    return TaskData(name, spec, cached, {ref.case_id: ref for ref in cases}, dataset)
