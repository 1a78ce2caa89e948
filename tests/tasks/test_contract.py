"""What every generated task owes the harness. Tasks are found by folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from hashlib import sha256
from time import perf_counter

import numpy as np

from harness.registry.taskfile import read_extended
from harness.schema.corpus import CorpusSpec
from harness.volumes.formats import list_cases, open_dataset, read_case
from harness.volumes.raw import RawCase

from .conftest import TASKS, generated_tasks, load_spec

ALONE = """
import json, sys
from hashlib import sha256
import importlib
stem, seed, settings, wanted = json.loads(sys.argv[1])
module = importlib.import_module(f"tasks.{stem}")
cases = {case.case_id: case for case in module.cases(seed, **settings)}
for name in wanted:
    raw = module.make(cases[name], seed, **settings)
    label = b"" if raw.label is None else raw.label.tobytes()
    print(sha256(raw.image.tobytes() + label + raw.affine.tobytes()).hexdigest())
print([name for name in sys.modules if name in ("torch", "monai")])
"""


def digest(raw: RawCase) -> str:
    label = b"" if raw.label is None else raw.label.tobytes()
    return sha256(raw.image.tobytes() + label + raw.affine.tobytes()).hexdigest()


def some(refs, n):
    """n cases of each side, spread over it."""
    found = []
    for side in ("train", "val", "test"):
        of_side = [ref for ref in refs if ref.side == side]
        found += of_side[:: max(1, len(of_side) // n)][:n]
    return found


def test_task_files_are_valid(task_file):
    load_spec(task_file.stem)


def test_corpora_are_valid_and_draw_on_tasks_that_exist():
    files = sorted((TASKS.parent / "corpora").glob("*.yaml"))
    assert files
    for path in files:
        corpus = CorpusSpec.model_validate(read_extended(path, "corpus").data)
        for source in corpus.sources:
            if source.task is not None:
                assert (TASKS / f"{source.task}.yaml").is_file(), (path.name, source)


def test_every_generator_is_used_by_a_task():
    used = {load_spec(name).format.generator for name in generated_tasks()}
    assert used == {path.stem for path in TASKS.glob("*.py")}


def test_says_that_it_is_synthetic(spec, generator):
    assert spec.synthetic
    assert "synthetic" in spec.title.lower()
    assert "synthetic" in spec.modality.lower()
    assert "SYNTHETIC" in generator.__doc__


def test_listing_is_whole_and_cheap(task, spec, generator):
    start = perf_counter()
    listed = list_cases(open_dataset(task, spec, [], generator))
    assert perf_counter() - start < 1.0
    assert len(listed) == spec.cases
    assert len({ref.case_id for ref in listed}) == spec.cases
    assert all(ref.stamp and ref.group_id for ref in listed)
    assert {ref.side for ref in listed} == {"train", "val", "test"}


def test_a_patient_is_on_one_side(refs):
    sides = {(ref.group_id, ref.side) for ref in refs}
    assert len(sides) == len({ref.group_id for ref in refs})


def test_every_class_is_on_every_side(spec, refs):
    if spec.target is None:
        assert all(ref.target is None for ref in refs)
        return
    for side in ("train", "val", "test"):
        count = Counter(ref.target for ref in refs if ref.side == side)
        assert sorted(count) == list(range(spec.classes))
        assert min(count.values()) >= 5


def test_cases_pass_the_checks_of_the_reader(task, spec, generator, refs):
    dataset = open_dataset(task, spec, [], generator)
    for ref in some(refs, 2):
        raw = read_case(dataset, ref)
        assert raw.image.dtype == np.float32
        assert raw.affine.dtype == np.float64
        assert (raw.label is None) == (spec.kind == "classification")


def test_every_structure_is_present_somewhere(spec, refs, make_case):
    if spec.kind != "segmentation":
        assert spec.structures == {}
        return
    found: set[int] = set()
    for ref in some(refs, 4):
        format = spec.format
        raw = make_case(format.generator, ref, format.seed, **format.settings)
        assert raw.label.dtype == np.uint8
        found |= set(np.unique(raw.label).tolist())
    assert found == {0, *spec.structures.values()}


def test_equal_bytes_in_any_order_and_process(spec, generator, refs):
    seed, settings = spec.format.seed, spec.format.settings
    chosen = [refs[0], refs[-1]]
    here = [digest(generator.make(ref, seed, **settings)) for ref in chosen]
    order = [ref.case_id for ref in reversed(chosen)]
    told = json.dumps([spec.format.generator, seed, settings, order])
    answer = subprocess.run(
        [sys.executable, "-c", ALONE, told],
        cwd=TASKS.parent,
        env={**os.environ, "OMP_NUM_THREADS": "3", "PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    assert answer[:2] == here[::-1]
    assert answer[2] == "[]", "a generator must not import torch"


def test_another_seed_gives_other_cases(spec, generator, refs):
    settings = spec.format.settings
    first, other = refs[:2]
    raws = [generator.make(first, seed, **settings) for seed in (5, 6)]
    raws.append(generator.make(other, 5, **settings))
    assert len({digest(raw) for raw in raws}) == 3
    stamps = {generator.cases(seed, **settings)[0].stamp for seed in (5, 6)}
    assert len(stamps) == 2, "the stamp must tell seeds apart"


def test_a_case_is_made_quickly(spec, generator, refs):
    seconds = []
    for ref in refs[:3]:
        start = perf_counter()
        generator.make(ref, spec.format.seed, **spec.format.settings)
        seconds.append(perf_counter() - start)
    assert min(seconds) < 1.0  # about 0.15 s on an idle core
