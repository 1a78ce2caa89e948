"""A job whose adaptation fails: its evaluation, blocked by that, is no second try."""

from harness.submit.failures import History


def test_the_last_try_is_what_failed_and_not_what_waited_for_it(workshop):
    adapt, evaluate = workshop.cell("c").nodes
    workshop.store.begin(adapt, made_by={}).fail("code", "told to fail")
    workshop.store.begin(evaluate, made_by={}).fail("blocked", "adapt is not published")
    [one] = History(workshop.store).tries([adapt, evaluate])
    assert (one.kind, one.reason) == ("code", "code: told to fail")


def test_a_job_whose_pretraining_is_missing_was_tried_and_blocked(workshop):
    job = workshop.cell("c", workshop.node("pretrain", "elsewhere", {}, "ok"))
    workshop.store.begin(job.nodes[0], made_by={}).fail("blocked", "not published")
    [one] = History(workshop.store).tries(job.nodes)
    assert one.kind == "blocked"
