"""Several processes train what one process trains: same batch, same draws, same steps."""

import os
import signal

import pytest
from safetensors.torch import load_file

from harness.nn import collective
from harness.run import ranks, training
from harness.schema.errors import Exit, UserError
from harness.store import Store

from ..exact import in_64_bits
from ..ranks import in_ranks

RANKS = 2
STEPS = 5
SMIT = (
    "smit: {crop: [16, 16, 16], region: [20, 20, 20], batch: 4, warmup: 1, steps: 5, "
    "momentum: 0.5, center_momentum: 0.5, encoder: {drop_path: 0.3}, %s}"
)
FINETUNE = "{finetune: {steps: 5, batch: 4, val_every: 2, flip: 0.5}}"
TERMS = ("loss", "mip", "mpd", "itd")
COLLECTIVES = ("sum_over_ranks", "mean_over_ranks", "gather")


@pytest.fixture
def in_float64():
    with in_64_bits():
        yield


def run_in_ranks(tiny, folder, plan, keys, *, collectives=True):
    results = tiny.bench.root / folder
    plan.write_specs(Store(results), plan.jobs())
    meeting = results / "meet"
    meeting.mkdir()

    def work():
        if not collectives:  # gradients are still averaged, statistics are not
            for name in COLLECTIVES:
                setattr(collective, name, lambda x: x)
        return tiny.run(keys, results=results)

    assert in_ranks(RANKS, meeting, work) == [Exit.DONE] * RANKS
    return Store(results)


def difference(one, other, key, name):
    """Return the largest difference of any tensor, relative to its largest entry."""
    a, b = (load_file(store.file(key, f"{name}.safetensors")) for store in (one, other))
    assert a.keys() == b.keys()
    return max(
        ((a[n] - b[n]).abs().max() / a[n].abs().max().clamp(min=1e-3)).item() for n in a
    )


def curve(tiny, store, key, quantities):
    """What monitors see is of each share (harness.run.collapse), so it is left out."""
    tiny.store = store
    table = tiny.table(key, "curves")
    table = table[table.quantity.isin(quantities)]
    assert set(table.quantity) == set(quantities)
    return {
        (row.split, row.quantity, row.step): row.value for row in table.itertuples()
    }


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_pretraining_on_two_ranks_is_that_of_one(tiny, in_float64, accumulate):
    plan = tiny.plan(SMIT % f"accumulate: {accumulate}")
    key = tiny.nodes(plan)[0]
    spread = run_in_ranks(tiny, "spread", plan, [key])
    assert len(spread.attempts(key)) == 1
    if accumulate == 1:
        assert tiny.run([key]) == Exit.DONE
        assert difference(tiny.store, spread, key, "encoder") < 1e-5
        ours, theirs = (curve(tiny, s, key, TERMS) for s in (tiny.store, spread))
        assert theirs == pytest.approx(ours, rel=1e-5)
        apart = run_in_ranks(tiny, "apart", plan, [key], collectives=False)
        assert difference(tiny.store, apart, key, "encoder") > 1e-5


def test_a_fine_tuning_on_two_ranks_is_that_of_one(tiny, in_float64):
    plan = tiny.plan("random: {encoder: {drop_path: 0.3}}", protocols=FINETUNE)
    keys = tiny.nodes(plan)[:1]
    whole = tiny.store
    assert tiny.run(keys) == Exit.DONE
    spread = run_in_ranks(tiny, "spread", plan, keys)
    assert difference(whole, spread, keys[0], "model") < 1e-5
    seen = ("loss", "score")
    ours, theirs = (curve(tiny, store, keys[0], seen) for store in (whole, spread))
    assert theirs == pytest.approx(ours, rel=1e-5)
    apart = run_in_ranks(tiny, "apart", plan, keys, collectives=False)
    assert difference(whole, apart, keys[0], "model") > 1e-5


def test_two_ranks_stop_together_and_one_resumes(tiny, in_float64):
    plan = tiny.plan(SMIT % "accumulate: 1")
    key = tiny.nodes(plan)[0]
    results = tiny.bench.root / "spread"
    plan.write_specs(Store(results), plan.jobs())
    (results / "meet").mkdir()
    honest = training.Training._autocast

    def autocast(self):
        if self.done == 2 and collective.rank() == 1:  # one rank alone is told
            os.kill(os.getpid(), signal.SIGUSR2)
        return honest(self)

    def work():
        training.Training._autocast = autocast
        try:
            tiny.run([key], results=results)
        except KeyboardInterrupt as stop:
            return str(stop)

    said = in_ranks(RANKS, results / "meet", work)
    assert said == ["stopped by SIGUSR2"] * RANKS
    assert tiny.run([key], results=results) == Exit.DONE
    assert tiny.run([key]) == Exit.DONE
    assert difference(tiny.store, Store(results), key, "encoder") < 1e-5


def test_a_whole_cell_runs_once_and_a_batch_must_divide(tiny):
    plan = tiny.plan("random: ", protocols="{finetune: {steps: 2, batch: 2}}")
    keys = tiny.nodes(plan)
    spread = run_in_ranks(tiny, "spread", plan, keys)
    assert [len(spread.attempts(key)) for key in keys] == [1, 1]
    assert spread.is_done(keys[1])
    with pytest.raises(UserError, match="a batch of 3 cannot be divided among 1 proc"):
        ranks.shares(3, 2)
