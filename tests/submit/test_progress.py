import io

from harness.submit.progress import Progress


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_the_time_left_is_the_mean_of_each_kind_over_the_workers():
    clock = Clock()
    progress = Progress(
        {"pretrain": 2, "cell": 5}, workers=2, stream=io.StringIO(), clock=clock
    )
    assert progress.line(0) == "0/7 jobs, 0s so far, time left not known yet"
    clock.now = 100.0
    progress.end("pretrain", "done", label="smit", seconds=100.0)
    # One pretraining of 100 s is left over two workers; cells have not been seen.
    assert (
        progress.line(2) == "1/7 jobs, 2 running, 1m40s so far, >50s left, last: smit"
    )
    progress.end("pretrain", "done", label="simmim", seconds=100.0)
    progress.end("cell", "done", label="a", seconds=10.0)
    progress.end("cell", "done", label="b", seconds=20.0)
    progress.end("cell", "failed", label="c", seconds=None)
    # Two cells of 15 s are left over two workers; the failure is no duration.
    assert progress.line(2) == (
        "5/7 jobs, 1 failed, 2 running, 1m40s so far, about 15s left, last: b"
    )
    progress.end("cell", "blocked", label="d", seconds=None)
    progress.end("cell", "done", label="e", seconds=5.0)
    assert progress.line(0) == "7/7 jobs, 1 blocked, 1 failed, 1m40s so far"


def test_without_a_terminal_there_is_a_line_now_and_then():
    clock, out = Clock(), io.StringIO()
    progress = Progress({"cell": 100}, stream=out, clock=clock)
    for second in range(100):
        clock.now = float(second)
        progress.show(1)
    progress.close()
    assert out.getvalue().count("\n") == 5
    assert "\x1b" not in out.getvalue()
    assert "\r" not in out.getvalue()


def test_on_a_terminal_one_line_is_rewritten_and_failures_stay():
    out = Terminal()
    progress = Progress({"cell": 2}, stream=out, clock=Clock())
    progress.show(1, force=True)
    progress.say("failed: a: why")
    progress.show(1, force=True)
    progress.close()
    assert out.getvalue().count("\n") == 2
    assert "\r\x1b[Kfailed: a: why\n" in out.getvalue()
