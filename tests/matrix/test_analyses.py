"""`analyses:` of a benchmark file: what is right, and every mistake with its place."""

TEXT = """
tier: tiny
corpus: [organs]
methods: [plain, masked]
protocols: [finetune]
tasks: [organs]
label_budgets: [2-shot, 100%]
analyses: {analyses}
"""


def _text(analyses):
    return TEXT.replace("{analyses}", analyses)


def test_entries_have_their_settings_and_their_cells(bench):
    text = "{reuse: {label_budgets: [2-shot], samples: 12}, few: {extends: attention}}"
    reuse, few = bench.load(_text(text)).analyses
    assert (reuse.base, reuse.settings.samples, reuse.settings.draws) == (
        "reuse",
        12,
        50,
    )
    assert reuse.takes("plain", "organs", "finetune", "2-shot")
    assert not reuse.takes("plain", "organs", "finetune", "100%")
    assert (few.name, few.base, few.methods) == ("few", "attention", None)


def test_mistakes(bench):
    def said(analyses, more=""):
        return bench.mistakes(_text(analyses) + more)[0][1]

    assert said("[reus]").startswith("unknown analysis 'reus'. Did you mean 'reuse'?")
    assert said("{reuse: {methods: [maskd]}}").startswith(
        "unknown method 'maskd'. Did you mean 'masked'?"
    )
    assert said("{reuse: {label_budgets: [5-shot]}}").startswith(
        "unknown label budget '5-shot'"
    )
    assert said("{reuse: {samples: 3}}") == (
        "reuse: samples: expected greater than or equal to 4, not 3"
    )
    assert said("{reuse: {sampels: 8}}").startswith(
        "reuse: unknown key 'sampels'. Did you mean 'samples'?"
    )
    assert said("[reuse]", "keep: {adapt: none}\n") == (
        "analyses look at adapted networks, and keep: {adapt: none} removes them: set "
        "it to best"
    )
