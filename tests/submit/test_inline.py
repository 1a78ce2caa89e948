import os

from stub_runner import RUNNER

from harness.schema.errors import Exit
from harness.submit.inline import Inline


def test_inline_keeps_the_same_rules_in_this_process(workshop, capsys):
    good, bad = workshop.pretrain("good"), workshop.pretrain("bad", do="fail")
    workshop.cell("child", good)
    orphan = workshop.cell("orphan", bad)
    crash = workshop.cell("crash", do="raise")
    outcome = Inline(workshop.store, runner=RUNNER).run(workshop.jobs[::-1])
    assert outcome.exit == Exit.FAILED
    assert {failure.name: failure.reason for failure in outcome.failed} == {
        bad.name: "code: told to fail",
        crash.name: "RuntimeError: told to raise",
    }
    assert [failure.name for failure in outcome.blocked] == [orphan.name]
    assert len(outcome.done) == 2
    assert {int(pid) for _, _, pid, _ in workshop.events()} == {os.getpid()}
    said = capsys.readouterr()
    assert "output of the job" in said.out
    assert "failed: bad: code: told to fail" in said.err


def test_nothing_to_do_is_done(workshop):
    assert Inline(workshop.store, runner="nowhere:at_all").run([]).exit == Exit.DONE
