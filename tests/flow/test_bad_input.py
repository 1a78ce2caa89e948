"""Bad input: one clear sentence, exit code 2, and nothing written."""

import errno
import json
import re

import numpy as np
import pytest


def refused(user, *words, code=2):
    """Run a command that must be refused; return its sentences, without 'harness: '."""
    before = user.tree()
    found, out, err = user.harness(*words)
    assert found == code, err
    assert out == ""
    assert "Traceback" not in err
    after = user.tree()
    assert after == before, set(after) ^ set(before)
    # Progress goes to stderr too; it is no sentence of the refusal.
    lines = [line for line in err.splitlines() if not line.startswith("preparing ")]
    assert lines
    assert all(line.startswith("harness: ") for line in lines), err
    return [line.removeprefix("harness: ") for line in lines]


RUN = ("run", "--cluster", "inline")
COMMANDS = [RUN, ("validate",), ("plan",)]


# -- the benchmark file -------------------------------------------------------------------


@pytest.mark.parametrize("command", [*COMMANDS, ("status",), ("report",)])
def test_a_missing_benchmark_file(user, command):
    (said,) = refused(user, *command, "-b", "nowhere.yaml")
    assert said == ("nowhere.yaml does not exist: name a benchmark file with -b FILE.")


def test_verify_needs_results_and_no_benchmark_file(user):
    (said,) = refused(user, "verify", "-b", "nowhere.yaml")
    assert said.endswith("is no folder: name a results folder with --results DIR")


@pytest.mark.parametrize("command", COMMANDS)
def test_invalid_yaml(user, command):
    user.benchmark.write_text("tier: tiny\nmethods: [random\ntasks: [blobs]\n")
    (said,) = refused(user, *command)
    assert re.match(r"benchmark\.yaml:3: invalid YAML: ", said)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("methods", "[randm]", "unknown method 'randm'. Did you mean 'random'?"),
        ("tasks", "[blob]", "unknown task 'blob'. Did you mean 'blobs'?"),
        (
            "protocols", "[finetun]",
            "unknown protocol 'finetun'. Did you mean 'finetune'?",
        ),
        ("seed", "[0]", "unknown key 'seed'. Did you mean 'seeds'?"),
        (
            "protocols", "{finetune: {step: 2}}",
            "finetune: unknown key 'step'. Did you mean 'steps'?",
        ),
        ("tasks", "{blobs: {crops: 3}}", "unknown key 'crops'. Did you mean 'crop'?"),
    ],
)  # fmt: skip
def test_an_unknown_name_or_key(user, key, value, said):
    user.write(**{key: value})
    line = user.line(f"{key}:")
    for command in COMMANDS:
        found = refused(user, *command)
        assert len(found) == 1, found
        assert found[0].startswith(f"benchmark.yaml:{line}: {said}"), found


def test_an_unknown_key_of_a_method(user, described_here):
    user.write(methods="{simmim: {mask_ratoi: 0.5}}", corpus="[blobs]")
    (said,) = refused(user, *RUN)
    line = user.line("methods:")
    assert said.startswith(f"benchmark.yaml:{line}: unknown key 'mask_ratoi'. ")
    assert "Did you mean 'mask_ratio'?" in said


def test_all_mistakes_of_a_file_are_told_at_once(user):
    user.write(methods="[randm]", tasks="[blob]", seed="[0]", label_budgets="[0%]")
    found = refused(user, *RUN)
    lines = sorted(
        user.line(f"{key}:") for key in ("methods", "tasks", "seed", "label_budgets")
    )
    assert [int(said.split(":")[1]) for said in found] == lines
    assert len(found) == 4


@pytest.mark.parametrize("command", COMMANDS)
def test_a_method_that_cannot_use_the_dimensions_of_a_task(
    user, command, described_here
):
    user.write(methods="{flat: }")
    (said,) = refused(user, *command)
    line = user.line("methods:")
    assert said == (
        f"benchmark.yaml:{line}: method flat works on 2-D volumes, and task blobs is "
        "3-D: remove one of them"
    )


# -- data ---------------------------------------------------------------------------------


def test_a_task_folder_that_does_not_exist(user):
    user.write(tasks="[absent]")
    (said,) = refused(user, *RUN)
    for place in (user.root / "data", user.content / "data"):
        assert str(place / "Task98_Absent") in said
    assert said.startswith("the data of task 'absent' is missing (looked for ")
    assert "download it from https://example.org/blobs" in said
    assert "data_root or MEDSSL_DATA" in said


def _other_shape(data, image, label):
    data.put(3, image, label[:-1])


def _other_affine(data, image, label):
    data.put(3, image, label, label_affine=np.diag([1.0, 1.0, 3.0, 1.0]))


def _foreign_value(data, image, label):
    label[0, 0, 0] = 9
    data.put(3, image, label)


def _nan(data, image, label):
    image[2, :3, 4] = np.nan
    data.put(3, image, label)


def _truncated(data, image, label):
    path = data.path / "imagesTr" / "blob_3.nii.gz"
    path.write_bytes(path.read_bytes()[:-200])


FAULTS = [
    (
        _other_shape,
        r"labelsTr/blob_3\.nii\.gz: its shape \(13, 12, 10\) differs from the shape "
        r"\(14, 12, 10\) of imagesTr/blob_3\.nii\.gz; resample the label",
    ),
    (
        _other_affine,
        r"labelsTr/blob_3\.nii\.gz: its affine differs from that of "
        r"imagesTr/blob_3\.nii\.gz by [\d.]+ mm .*; resample the label",
    ),
    (
        _foreign_value,
        r"labelsTr/blob_3\.nii\.gz: the label has the value 9, but .* classes are "
        r"0 to 2; correct the label, or 'structures' in the task file",
    ),
    (_nan, r"imagesTr/blob_3\.nii\.gz: 3 voxels are NaN or infinite; replace them"),
    (
        _truncated,
        r"imagesTr/blob_3\.nii\.gz: the file is truncated; copy or download it again",
    ),
]


@pytest.mark.parametrize(("spoil", "sentence"), FAULTS)
def test_a_volume_at_fault(user, spoil, sentence):
    spoil(user.data, *user.data.blob(3))
    (said,) = refused(user, *RUN)
    place, said = said.split(": ", 1)
    assert place == str(user.data.path)
    assert re.match(sentence, said), said
    assert not user.results.exists()


def test_every_volume_at_fault_is_told_at_once(user):
    _nan(user.data, *user.data.blob(3))
    image, label = user.data.blob(5)
    user.data.put(5, image, label[1:])
    head, *faults = refused(user, *RUN)
    assert head == f"{user.data.path}: dataset 'blobs' has 2 faults:"
    assert "imagesTr/blob_3.nii.gz: " in faults[0]
    assert "labelsTr/blob_5.nii.gz: " in faults[1]
    assert len(faults) == 2


def test_an_empty_training_subset(user):
    user.write(label_budgets="[0%]")
    (said,) = refused(user, *RUN)
    assert said.startswith(f"benchmark.yaml:{user.line('label_budgets:')}: ")
    assert "0.0 is not a label budget: expected a fraction above 0" in said
    # All six names fall to validation and test by this seed.
    user.write(tasks="{blobs: {split: {kind: hash, val: 0.2, test: 0.2, seed: 212}}}")
    (said,) = refused(user, *RUN)
    assert said == (
        "task 'blobs': of its 6 cases none is in train; change the shares or the seed "
        "of its 'split'"
    )


@pytest.mark.parametrize("budget", ["n=500", "99-shot"])
def test_a_label_budget_larger_than_the_data(user, budget):
    user.write(label_budgets=f"[{budget}]")
    (said,) = refused(user, *RUN)
    count = re.findall(r"\d+", budget)[0]
    assert said == (
        f"task 'blobs': label budget {budget} asks for {count} training cases, but "
        "there are 4; ask for fewer under 'label_budgets'"
    )


# -- results ------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [RUN, ("plan",), ("status",), ("report",)])
def test_a_results_folder_of_a_newer_format(user, command):
    user.results.mkdir()
    (user.results / "format.json").write_text('{"format": 99, "made_by": "later"}')
    (said,) = refused(user, *command)
    assert str(user.results) in said
    assert "99" in said
    assert re.search(r"knows formats up to \d+: update the harness", said)


def test_a_full_disk_during_a_cell(user, monkeypatch):
    """That cell fails with its reason, the others go on; the next run repeats it alone."""
    from harness.run import checkpoint

    user.write(seeds="[0, 1]")
    real, calls = checkpoint.save_file, []

    def save(tensors, path):
        calls.append(path)
        if len(calls) == 1:
            path.write_bytes(b"half of the weights")
            raise OSError(errno.ENOSPC, "No space left on device")
        real(tensors, path)

    monkeypatch.setattr(checkpoint, "save_file", save)
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "1")  # threads: too small for more
    code, out, err = user.run()
    assert (code, out) == (1, "")
    assert "Traceback" not in err
    assert "1 jobs done" in err
    reason = f"disk_full: the disk of {user.results} is full"
    (failed,) = [line for line in err.splitlines() if line.startswith("  random")]
    assert "seed 0" in failed
    assert reason in failed
    assert len(calls) == 2
    assert not calls[0].exists(), "the half-written file still fills the disk"

    code, out, _ = user.harness("status")
    assert code == 1
    assert "1 of 2 cells done" in out
    assert f"failed: random blobs finetune 100% seed 0: {reason}" in out
    code, out, _ = user.harness("status", "--json")
    document = json.loads(out)
    assert (code, document["exit"]) == (1, 1)
    states = {cell["seed"]: cell["state"] for cell in document["cells"]}
    assert states == {0: "failed", 1: "done"}

    code, _, err = user.run()
    assert code == 0, err
    assert len(calls) == 3, "only the failed cell runs again"
    assert user.harness("status")[0] == 0


def test_a_disk_that_is_full_when_a_cell_begins(user, monkeypatch):
    """No record of the attempt can be kept; the reason is told all the same."""
    from harness.store import attempt

    def write(path, data, *, sync=True):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    user.write(seeds="[0, 1]")
    monkeypatch.setattr(attempt, "write_bytes", write)
    code, out, err = user.run()
    assert (code, out) == (1, "")
    assert "Traceback" not in err
    failed = [line for line in err.splitlines() if line.startswith("  random")]
    (line,) = failed
    assert "seed 0 and 1 more" in line, "the second cell was tried too"
    assert f"the disk of the results folder {user.results} is full: free" in line
    assert not list(user.results.glob("nodes/*/*/attempts/*"))
