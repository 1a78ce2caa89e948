"""How workers share cores and GPUs."""

import pytest

from harness.schema.errors import UserError
from harness.submit.slots import slots, usable_gpus


@pytest.mark.parametrize(
    ("workers", "expected"),
    [
        (None, [(0,), (1,), (2,), (3,), (4,)]),
        (1, [(0, 1, 2, 3, 4)]),
        (2, [(0, 1), (2, 3, 4)]),
        (3, [(0,), (1, 2), (3, 4)]),
        (7, [(0,), (1,), (2,), (3,), (4,), (0,), (1,)]),
    ],
)
def test_cores_are_dealt_out(workers, expected):
    found = slots(range(5), [], workers=workers, per_gpu=1)
    assert [slot.cores for slot in found] == expected
    # Sums depend on the number of threads: it must not depend on which worker is free.
    assert {slot.threads for slot in found} == {max(1, 5 // len(expected))}
    assert {slot.gpu for slot in found} == {None}


def test_each_gpu_has_as_many_workers_as_it_has_places():
    found = slots(range(8), ["0", "3"], workers=None, per_gpu=2)
    assert [slot.gpu for slot in found] == ["0", "3", "0", "3"]
    assert [slot.gpu for slot in slots(range(8), ["0", "3"], workers=1, per_gpu=2)] == [
        "0"
    ]


def test_more_workers_than_places_is_a_sentence():
    with pytest.raises(UserError, match=r"--workers 3 is more than 2 GPUs .*--per-gpu"):
        slots(range(8), ["0", "1"], workers=3, per_gpu=1)


def test_gpus_that_are_not_there_are_a_sentence(monkeypatch, tmp_path):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-1f,2")
    assert usable_gpus(1) == ["GPU-1f"]
    assert usable_gpus(0) == []
    with pytest.raises(UserError, match=r"--gpus 3: there are 2 here .*GPU-1f,2"):
        usable_gpus(3)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(UserError, match=r"--gpus 1: there are 0 here"):
        usable_gpus(1)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    for name in ("nvidia0", "nvidia1", "nvidiactl"):
        (tmp_path / name).touch()
    assert usable_gpus(2, tmp_path) == ["0", "1"]
    with pytest.raises(UserError, match=r"there are 2 here .*/nvidia"):
        usable_gpus(3, tmp_path)
