"""Doctor's test job on a real SLURM."""

from harness.submit import doctor


def test_the_test_job_runs_and_leaves_nothing(slurm, tmp_path, drained):
    results = tmp_path / "results"
    results.mkdir()
    told = []
    (found,) = doctor.try_a_job(results, None, wait_s=60.0, say=told.append)
    assert found.grade == "ok", found
    assert "sees the results folder" in found.said
    assert told[0].startswith("test job ")
    assert list(results.iterdir()) == []
    drained()


def test_the_real_configuration_is_read(slurm):
    found = {one.name: one for one in doctor.slurm()}
    assert found["SLURM"].grade == "ok"
    assert found["MaxArraySize"].said.split(":")[0].isdigit()
    assert found["accounting"].grade == "ok"
