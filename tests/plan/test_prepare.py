"""Data is made ready before anything is submitted."""

import numpy as np
import pytest

from harness.plan import make_plan
from harness.plan.prepare import prepare_data
from harness.schema.errors import DataError
from harness.volumes.cache import open_cache

MAKE = """
    import numpy as np
    from harness.volumes.raw import RawCase
    value = {value}
    image = np.full((1, 4, 4, 4), value, np.float32)
    return RawCase(image, np.ones((4, 4, 4), np.uint8), np.eye(4))
"""


def with_voxels(bench, value):
    path = bench.root / "tasks/toy.py"
    text = path.read_text().replace(
        "    raise NotImplementedError\n", MAKE.format(value=value)
    )
    path.write_text(text)


def _of_organs(plan):
    return [job for job in plan.jobs() if "organs" in job.label]


def test_what_jobs_need_is_cached_once(bench, tmp_path):
    with_voxels(bench, 0.25)
    plan = make_plan(bench.load(), None)
    seen = []
    jobs = _of_organs(plan)
    done = prepare_data(plan, jobs, tmp_path, progress=lambda *step: seen.append(step))
    assert done == ["organs"]
    assert seen[-1] == ("organs", 20, 20)
    (folder,) = (tmp_path / "cache/data").iterdir()
    assert folder.name == plan.listing("organs").fingerprint[:16]
    cached = open_cache(folder)
    assert np.allclose(cached.to_unit(cached.image(0)), 0.25, atol=1e-4)
    assert prepare_data(plan, jobs, tmp_path) == []


def test_a_fault_leaves_nothing(bench, tmp_path):
    with_voxels(bench, "np.inf if case.case_id.endswith('1') else 0.5")
    plan = make_plan(bench.load(), None)
    with pytest.raises(DataError, match="case000001"):
        prepare_data(plan, _of_organs(plan), tmp_path / "results")
    assert not (tmp_path / "results").exists()


def test_cases_that_are_left_out_are_listed(bench, tmp_path):
    with_voxels(bench, "np.inf if int(case.case_id[-2:]) < 12 else 0.5")
    task = bench.root / "tasks/organs.yaml"
    task.write_text(task.read_text() + "skip_unreadable: true\n")
    plan = make_plan(bench.load(), None)
    lines = []
    prepare_data(plan, _of_organs(plan), tmp_path, warn=lines.append)
    assert len(lines) == 11
    assert lines[0].startswith("organs: left out: case 'case000000': 64 voxels are")
    assert lines[-1] == ("organs: and 2 more, which `harness data check organs` lists")
