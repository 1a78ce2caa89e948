"""A cell is found by its key or by words that fit it and no other."""

from hashlib import sha256

import pytest

from harness.plan.cells import Cell, Pretraining
from harness.plan.find import find
from harness.schema.errors import UserError


def key(*words):
    return sha256(repr(words).encode()).hexdigest()


PRETRAININGS = {
    key("pretrain", method): Pretraining(key("pretrain", method), method, 0)
    for method in ("smit", "simmim")
}
CELLS = [
    Cell(
        method, "swin", task, "finetune", budget, 0, seed, 0,
        None if method == "random" else 0,
        () if method == "random" else (key("pretrain", method),),
        key("adapt", method, task, budget, seed),
        key("evaluate", method, task, budget, seed),
    )
    for method in ("smit", "simmim", "random")
    for task in ("organs", "nodules")
    for budget in ("5-shot", "100%")
    for seed in (0, 1)
]  # fmt: skip


def look(text):
    return find(CELLS, PRETRAININGS, text)


def test_every_cell_is_found_by_either_of_its_keys_and_by_its_words():
    for cell in CELLS:
        words = f"{cell.method} {cell.task} {cell.budget} seed {cell.seed}"
        named = f"method={cell.method},task={cell.task},label_budget={cell.budget},"
        for text in (
            cell.evaluate_key, cell.evaluate_key[:16], cell.adapt_key[:10], words,
            f"{named}seed={cell.seed}", f"{named} fold=0 seed {cell.seed}",
        ):  # fmt: skip
            found = look(text)
            assert found.key == cell.evaluate_key
            assert found.nodes == (cell.adapt_key, cell.evaluate_key)
            assert found.needs == cell.pretrain_key
            assert found.label == cell.label


def test_a_pretraining_is_found():
    for each in PRETRAININGS.values():
        for text in (
            each.key[:8],
            f"pretrain {each.method}",
            f"pretrain,{each.method}",
        ):
            found = look(text)
            assert (found.key, found.nodes, found.needs) == (
                each.key,
                (each.key,),
                None,
            )


def test_what_fits_several_cells_lists_them():
    with pytest.raises(UserError) as caught:
        look("smit organs 5-shot")
    text = str(caught.value)
    assert text.startswith("'smit organs 5-shot' fits 2 cells, name one of them: ")
    cells = [
        c for c in CELLS if (c.method, c.task, c.budget) == ("smit", "organs", "5-shot")
    ]
    for cell in cells:
        assert f"{cell.evaluate_key[:16]} {cell.label}" in text
    with pytest.raises(UserError, match=r"fits 9 cells.*, \.\.\.$"):
        look("smit")  # its pretraining too


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("smitt organs", r"no cell has 'smitt'\. Did you mean 'smit'\?"),
        ("method=smi", r"no cell has 'method=smi'\. Did you mean 'method=smi"),
        (
            "0123456789abcdef",
            "no node of this benchmark has a key that begins with 0123",
        ),
        (
            "smit random",
            "no cell fits all of 'smit random', though each word fits some",
        ),
        ("", "no cell fits all of ''"),
        ("seed 7", r"no cell has 'seed=7'"),
    ],
)
def test_what_fits_nothing_says_what_is_near(text, message):
    with pytest.raises(UserError, match=message):
        look(text)
