"""What profiles may say, whose word counts, and that nothing gets out of a value."""

import pytest
from pydantic import ValidationError

from harness.matrix.profiles import Asked, Profile, megabytes, minutes


@pytest.mark.parametrize(
    ("text", "found"),
    [("90", 90), ("1:30", 2), ("01:00:00", 60), ("2-0", 2880), ("1-2:30", 1590),
     ("0:30", 1), (45, 45), ("1-0:0:1", 1441)],
)  # fmt: skip
def test_times_are_read_as_sbatch_reads_them(text, found):
    assert minutes(text) == found


@pytest.mark.parametrize("text", ["soon", "0", "-5", "1:2:3:4", "4h", True, "1-", ""])
def test_what_is_no_time_is_refused(text):
    with pytest.raises(ValueError, match="is not a time"):
        minutes(text)


@pytest.mark.parametrize(
    ("text", "found"),
    [("16G", 16384), ("16GB", 16384), ("16GiB", 16384), (800, 800), ("1T", 1 << 20),
     ("1500K", 2), ("0", 0)],
)  # fmt: skip
def test_memory_is_read_as_sbatch_reads_it(text, found):
    assert megabytes(text) == found


@pytest.mark.parametrize("text", ["lots", "1.5G", "-1G", "16 Gx", True])
def test_what_is_no_memory_is_refused(text):
    with pytest.raises(ValueError, match="is not a memory size"):
        megabytes(text)


def test_the_most_particular_word_counts():
    profile = Profile.model_validate(
        {
            "mem": "8G", "time": "1:00:00", "gpus": 1, "partition": "gpu",
            "options": {"exclusive": True},
            "phases": {"pretrain": {"time": "2-0", "gpus": "a100:4"}},
            "tasks": {"lungs": {"mem": "16G", "phases": {"cell": {"time": "6:00:00"}}}},
            "methods": {"big": {"mem": "64G", "phases": {"pretrain": {"time": "4-0"}},
                                "options": {"exclusive": False, "nodelist": "n[1-3]"}}},
        }
    )  # fmt: skip
    cell = profile.asked("cell", "small", "lungs")
    assert (cell.mem, cell.time, cell.gpus) == (16384, 360, 1)
    pretraining = profile.asked("pretrain", "big")
    assert (pretraining.mem, pretraining.time) == (65536, 4 * 1440)
    assert (pretraining.gpus, pretraining.partition) == ("a100:4", "gpu")
    assert pretraining.options == {"exclusive": False, "nodelist": "n[1-3]"}
    assert profile.asked("cell", "big", "lungs").mem == 65536
    assert profile.asked("pretrain", "small").time == 2880


EVIL = [
    "gpu\n#SBATCH --uid=0", "gpu; rm -rf /", "$(touch x)", "`id`", "a b", "x'y", 'x"y',
    "a#b", "a\\b", "a>b", "x\u2028y", "", "x\x00",
]  # fmt: skip


@pytest.mark.parametrize("evil", EVIL)
@pytest.mark.parametrize("field", ["partition", "account", "qos", "constraint"])
def test_no_value_gets_out_of_its_line(field, evil):
    with pytest.raises(ValidationError, match="cannot stand in an sbatch script"):
        Asked.model_validate({field: evil})


@pytest.mark.parametrize("evil", EVIL)
def test_no_option_gets_out_of_its_line(evil):
    with pytest.raises(ValidationError):
        Asked.model_validate({"options": {"reservation": evil}})
    with pytest.raises(ValidationError):
        Asked.model_validate({"options": {f"x{evil}y" if evil else "": "1"}})
    with pytest.raises(ValidationError):
        Asked.model_validate({"gpus": f"a100{evil}"})
    with pytest.raises(ValidationError):
        Profile.model_validate({"scratch": f"/tmp/{evil} x"})


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"options": {"array": "0-5"}}, "write 'parallel:' beside 'options:'"),
        ({"options": {"--mem": "5G"}}, "write 'mem:' beside 'options:'"),
        ({"options": {"job_name": "x"}}, "'job-name' is set by the harness: remove it"),
        ({"options": {"wrap": "id"}}, "is set by the harness"),
        ({"options": {"dependency": "x"}}, "is set by the harness"),
        ({"setup": ["module load a\nid"]}, "more than one line"),
        ({"setup": "#SBATCH --uid=0"}, "sbatch options go under 'options:'"),
        ({"python": "python\nid"}, "expected one command"),
        ({"gpus": -1}, "expected a number of GPUs"),
        ({"gpus": "many"}, "expected a number of GPUs"),
        ({"methods": {"../x": {}}}, "is not a name"),
        ({"scratch": "/tmp/$(id)"}, "expected a folder such as"),
    ],
)  # fmt: skip
def test_what_a_profile_may_not_say(body, message):
    with pytest.raises(ValidationError, match=message):
        Profile.model_validate(body)
