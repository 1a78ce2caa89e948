"""Faults of the process that submits: killed, doubled, with another clock."""

import json
import random
import re
import shutil
import subprocess
import time

from catalogue import fault
from trial import NotTried

KILL_PARENT = r"""
"$REAL" "$@" > $FOLDER/sbatch.said 2>&1
# The process that called us, or the one that called it, is `harness run`.
pid=$PPID
while ! grep -q command.py /proc/$pid/cmdline; do
  pid=$(awk '{print $4}' /proc/$pid/stat)
done
kill -KILL $pid && echo $pid > $FOLDER/killed
"""


@fault("crash between sbatch and record", ci=True)
def lost_id(trial):
    """`run` gets SIGKILL after sbatch has submitted an array, before it reads the id."""
    path = trial.shim("sbatch", KILL_PARENT)
    done = trial.submit(code=None, PATH=path)
    killed = trial.folder / "killed"
    if done.returncode != -9 or not killed.exists():
        message = f"run ended with {done.returncode}"
        raise NotTried(message)
    said = (trial.folder / "sbatch.said").read_text().strip()
    [record] = (trial.results / "submissions").glob("*.json")
    arrays = json.loads(record.read_text())["arrays"]
    trial.expect(all(one["job_id"] is None for one in arrays), "an id was recorded")
    trial.saw(
        f"sbatch said {said!r}; SIGKILL of run, process {killed.read_text().strip()}; "
        "its record has no id",
        "after the first sbatch",
    )
    trial.check_status()
    trial.finish()
    trial.check_once()


@fault("two submitters", ci=True)
def two_submitters(trial):
    """Two processes submit the same matrix at the same moment."""
    path = trial.shim(
        "sbatch",
        'echo "$(date +%s.%N) $(pgrep -d, -f "$FOLDER/benchmark.yaml.*run")" '
        '>> $FOLDER/sbatch.calls\nsleep 0.5\nexec "$REAL" "$@"\n',
    )
    command = trial.words("run", "--cluster", "slurm")
    runs = [
        subprocess.Popen(
            command, env={**trial.environment, "PATH": path}, cwd=trial.folder,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for _ in range(2)
    ]  # fmt: skip
    said = [run.communicate(timeout=240)[0] for run in runs]
    calls = (trial.folder / "sbatch.calls").read_text().splitlines()
    pids = {str(run.pid) for run in runs}
    both = [line for line in calls if pids <= set(line.split()[-1].split(","))]
    if not both:
        message = f"the two did not overlap: {calls}"
        raise NotTried(message)
    codes = [run.returncode for run in runs]
    trial.saw(
        f"{len(both)} of {len(calls)} calls of sbatch with both processes alive; they "
        f"ended with {codes[0]} and {codes[1]}",
        "from planning to the last sbatch",
    )
    trial.expect(set(codes) <= {0, 2}, f"they ended with {codes}: {said}")
    trial.expect(0 in codes, "neither submitted")
    trial.check_status()
    trial.drained()
    trial.finish()
    trial.check_once()


@fault("clock set back")
def clock_set_back(trial):
    """The clock of the submitting machine, or of the jobs, is two hours behind."""
    if (fake := shutil.which("faketime")) is None:
        message = "faketime is not installed (Debian: apt-get install faketime)"
        raise NotTried(message)
    late = [fake, "-f", "-2h"]
    trial.order("adapt-random-0", "fail")
    trial.submit()
    trial.drained()
    trial.remember()
    trial.check_status({"random-0": {"failed"}})
    before = {path.name for path in (trial.results / "submissions").glob("*.json")}
    # Submitted again by a process, and computed by jobs, with the clock set back.
    trial.order("adapt-random-0", "hold")
    since = json.loads((trial.folder / "here" / "adapt-random-0").read_text())["at"]
    again = trial.harness("run", "--cluster", "slurm", before=late)
    trial.expect(again.returncode == 0, f"run ended with {again.returncode}")
    trial.wait(lambda: trial.queue(), "the job to be queued")
    [new] = {
        path.name for path in (trial.results / "submissions").glob("*.json")
    } - before
    here = trial.folder / "here" / "adapt-random-0"

    def back():
        at = json.loads(here.read_text())["at"]
        return at if at != since else None

    at = trial.wait(back, "adapt-random-0 to start again")
    trial.saw(
        f"submission {new} after {max(before)}; the job's clock says {since - at:.0f} s "
        "before the failed one",
        "second submission, and the jobs that it submitted",
    )
    if at > since - 3600:
        message = f"the clock was not set back: {since} then {at}"
        raise NotTried(message)
    trial.check_status({"random-0": {"running"}})
    trial.order("adapt-random-0", "fail")
    trial.drained()
    trial.check_status({"random-0": {"failed"}})
    trial.finish(own_fault=True)
    trial.check_once()


# What changes the disk or starts a program, and what lies between those.
CALLS = (
    "openat,read,write,close,rename,renameat,renameat2,link,linkat,unlink,unlinkat,mkdir,"
    "mkdirat,rmdir,fsync,fdatasync,ftruncate,clone,clone3,vfork,fork,wait4,pipe2,fcntl,"
    "lseek,getdents64,utimensat,chmod,fchmod,kill,newfstatat,fstat,flock,dup2,poll"
)
# Folders of this machine in a traced call; the name that they lead to stays.
OF_THIS_MACHINE = re.compile(r'(?<=")/[^"]*/(?=[^/"]+")')
TRACED = re.compile(r"^(?:\d+ +)?(\w+)\(")


def trace_of(trial):
    """Return the system calls of a whole `run` of another copy, in their order."""
    log = trial.folder / "trace"
    if not log.exists():
        trial.slurm("scontrol", "update", "nodename=node1,node2", "state=drain",
                    "reason=test")  # fmt: skip
        before = [
            "strace",
            "-q",
            "-e",
            "signal=none",
            "-e",
            f"trace={CALLS}",
            "-o",
            log,
        ]
        trial.submit(before=[str(word) for word in before], timeout=300)
        trial.slurm("scancel", "--me")
        trial.drained()
        trial.slurm("scontrol", "update", "nodename=node1,node2", "state=resume")
        for name in ("submissions", "nodes", "done", "format.json"):
            path = trial.results / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    return log.read_text(errors="replace").splitlines()


@fault("submitter killed between two system calls")
def killed_between_calls(trial):
    """`run` gets SIGKILL at a system call drawn from all after its first write."""
    if shutil.which("strace") is None:
        message = "strace is not installed"
        raise NotTried(message)
    lines = trace_of(trial)
    first = next(
        n for n, line in enumerate(lines)
        if str(trial.results) in line and ("O_CREAT" in line or "mkdir" in line)
    )  # fmt: skip
    names = [found[1] if (found := TRACED.match(line)) else "" for line in lines]
    drawn = random.Random(trial.number)
    for _ in range(4):
        at = drawn.randrange(first, len(lines) - 1)
        while not names[at]:
            at -= 1
        name = names[at]
        nth = names[: at + 1].count(name)
        log = trial.folder / f"killed.{at}"
        before = ["strace", "-q", "-e", f"trace={CALLS}", "-o", str(log),
                  "-e", f"inject={name}:signal=KILL:when={nth}"]  # fmt: skip
        done = trial.submit(before=before, code=None, timeout=300)
        traced = log.read_text(errors="replace").splitlines()
        if "+++ killed by SIGKILL +++" not in traced[-1]:
            continue
        last = next(line for line in reversed(traced[:-1]) if TRACED.match(line))
        trial.saw(
            f"strace: {traced[-1]}; exit {done.returncode}",
            f"call {at - first} of {len(lines) - first} after the first write: "
            f"{OF_THIS_MACHINE.sub('...', last)[:110]}",
        )
        break
    else:
        message = "run ended before the call that was drawn, four times"
        raise NotTried(message)
    trial.remember()
    time.sleep(0.5)
    trial.check_status()
    trial.finish()
    trial.check_once()
