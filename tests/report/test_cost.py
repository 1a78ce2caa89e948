"""What results cost: sums over nodes, each counted once."""

import pytest

from harness.report.cost import cost, cost_by_task, parameters
from harness.report.render import render
from harness.schema.errors import UserError


@pytest.fixture
def tasks(make_spec):
    return {"organs": make_spec(), "nodules": make_spec("classification")}


def test_a_pretraining_is_counted_once(make_evidence, make_cells, make_reader, tasks):
    cells = make_cells(tasks=("organs", "nodules"))
    sheet = cost(make_evidence(cells, make_reader(), tasks))
    plain, mae = (row.values for row in sheet.rows)
    assert (plain["method"], plain["pretrain_nodes"], plain["pretrain_h"]) == (
        "random", 0, None,
    )  # fmt: skip
    assert (mae["pretrain_nodes"], mae["pretrain_h"]) == (1, 1.0)
    assert (mae["adapt_nodes"], mae["evaluate_nodes"]) == (12, 12)
    assert mae["adapt_h"] == pytest.approx(12 * 120 / 3600)
    assert mae["total_h"] == pytest.approx(1 + 12 * 180 / 3600)
    assert mae["total_gpu_h"] == pytest.approx(25 * 0.5)
    assert (mae["peak_mem_gb"], mae["peak_gpu_mem_gb"]) == (2.0, None)
    assert len(sheet.rows[1].keys) == 12


def test_only_what_is_published_counts(make_evidence, make_cells, make_reader, tasks):
    cells = make_cells()
    reader = make_reader(missing=("p-mae", "mae/organs/100%/2"))
    mae = cost(make_evidence(cells, reader, tasks)).rows[1].values
    assert (mae["pretrain_nodes"], mae["adapt_nodes"], mae["evaluate_nodes"]) == (
        0, 6, 5,
    )  # fmt: skip
    with pytest.raises(UserError, match="none of 12 cells is published"):
        cost(make_evidence(make_cells(state="todo"), reader, tasks))


def test_by_task(make_evidence, make_cells, make_reader, tasks):
    cells = make_cells(tasks=("organs", "nodules"))
    sheet = cost_by_task(make_evidence(cells, make_reader(), tasks))
    assert [heading for heading, _ in sheet.parts()] == ["organs", "nodules"]
    row = sheet.rows[0].values
    assert (row["cells"], row["adapt_min"], row["evaluate_min"]) == (6, 2.0, 1.0)
    text = render(sheet, "term")
    assert "nan" not in text
    assert "organs" in text.splitlines()


def test_parameters(make_evidence, make_cells, make_reader, tasks):
    sheet = parameters(make_evidence(make_cells(), make_reader(), tasks))
    row = sheet.rows[0].values
    assert (row["trainable_params"], row["n_train"]) == (1234, 5)
    assert "1,234" in render(sheet, "md")
    unknown = make_reader(missing=tuple(make_cells().adapt_key))
    with pytest.raises(UserError, match="how many parameters"):
        parameters(make_evidence(make_cells(), unknown, tasks))
