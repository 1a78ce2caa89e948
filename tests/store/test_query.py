"""Aggregation in DuckDB against plain loops over the rows."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from harness.schema.errors import DataError
from harness.store.query import case_scores, predictions
from harness.store.tables import CASES, PREDICTIONS

CHARGE = {"pred_empty": "diagonal", "gt_empty": 7.0, "both_empty": None, "failed": None}


def rows(rng, key):
    found = []
    for case in ("c1", "c2", "c3"):
        for structure in ("liver", "tumour", "vein"):
            for metric in ("dice", "hd95"):
                reason = rng.choice([None, *CHARGE])
                found.append(
                    {
                        "key": key, "case_id": case, "group_id": f"p{case}",
                        "structure": structure, "metric": metric,
                        "value": rng.random() if reason is None else None,
                        "reason": reason, "diagonal_mm": 100.0 + len(found),
                    }
                )  # fmt: skip
    return found


@pytest.fixture
def store(tmp_path):
    rng = np.random.default_rng(0)
    keys = [f"{i:064x}" for i in (3, 1, 2)]
    data = {key: rows(rng, key) for key in keys}
    files = {key: tmp_path / f"with space's {key[-1]}.parquet" for key in keys}
    for key, path in files.items():
        pq.write_table(pa.Table.from_pylist(data[key], schema=CASES), path)
    return files, data


def expected(data, metric):
    found = {}
    for cell, some in enumerate(data.values()):
        for case in ("c1", "c2", "c3"):
            mine = [r for r in some if r["case_id"] == case and r["metric"] == metric]
            charged = []
            for row in mine:
                amount = CHARGE.get(row["reason"], row["value"])
                charged.append(row["diagonal_mm"] if amount == "diagonal" else amount)
            counted = [amount for amount in charged if amount is not None]
            reasons = [row["reason"] for row in mine]
            found[cell, case] = (
                sum(counted) / len(counted) if counted else None, len(counted),
                reasons.count("pred_empty"), reasons.count("gt_empty"),
                reasons.count("failed"),
            )  # fmt: skip
    return found


@pytest.mark.parametrize("metric", ["dice", "hd95"])
def test_case_scores_equal_a_plain_loop(store, metric):
    files, data = store
    table = case_scores(files, metric=metric, charge=CHARGE)
    want = expected(data, metric)
    assert table.num_rows == len(want) == 9
    for row in table.to_pylist():
        score, *counts = want[row["cell"], row["case_id"]]
        assert row["score"] == (None if score is None else pytest.approx(score))
        assert [
            row[name] for name in ("structures", "misses", "false_alarms", "failed")
        ] == counts
        assert row["group_id"] == f"p{row['case_id']}"


def test_one_structure_alone(store):
    files, data = store
    table = case_scores(files, metric="dice", charge=CHARGE, structure="vein")
    for row in table.to_pylist():
        (own,) = [
            r
            for r in list(data.values())[row["cell"]]
            if (r["case_id"], r["metric"], r["structure"])
            == (row["case_id"], "dice", "vein")
        ]
        charged = CHARGE.get(own["reason"], own["value"])
        charged = own["diagonal_mm"] if charged == "diagonal" else charged
        assert row["score"] == (None if charged is None else pytest.approx(charged))


def test_only_the_keys_asked_for_are_read(store, tmp_path):
    files, _ = store
    every = tmp_path / "collected.parquet"
    pq.write_table(
        pa.concat_tables([pq.read_table(path) for path in files.values()]), every
    )
    wanted = {key: every for key in list(files)[1:]}
    table = case_scores(wanted, metric="dice", charge=CHARGE)
    assert sorted(set(table["cell"].to_pylist())) == [0, 1]
    assert table.num_rows == 6


def test_predictions_are_of_one_split(tmp_path):
    rows = [
        {
            "key": "k", "split": split, "case_id": f"c{i}", "group_id": f"c{i}",
            "y_true": i, "scores": [0.25, 0.75],
        }
        for split in ("val", "test")
        for i in range(2)
    ]  # fmt: skip
    pq.write_table(
        pa.Table.from_pylist(rows, schema=PREDICTIONS), tmp_path / "p.parquet"
    )
    found = predictions({"k": tmp_path / "p.parquet"}, split="test").to_pylist()
    assert sorted(row["case_id"] for row in found) == ["c0", "c1"]
    assert found[0]["scores"] == [0.25, 0.75]
    assert found[0]["cell"] == 0


def test_an_unreadable_file_is_named_in_one_sentence(store, tmp_path):
    files, _ = store
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(b"PAR1 cut short")
    with pytest.raises(DataError, match=r"cannot be read.*broken\.parquet.*verify"):
        case_scores({**files, "x": broken}, metric="dice", charge=CHARGE)
    with pytest.raises(DataError, match=r"cannot be read.*gone\.parquet"):
        case_scores({"x": tmp_path / "gone.parquet"}, metric="dice", charge=CHARGE)


def test_values_that_are_not_finite_count_as_failed(tmp_path):
    rows = [
        {
            "key": "k", "case_id": f"c{i}", "group_id": "p", "structure": "liver",
            "metric": "dice", "value": value, "reason": None, "diagonal_mm": 1.0,
        }
        for i, value in enumerate([0.5, float("nan"), float("inf"), None])
    ]  # fmt: skip
    path = tmp_path / "c.parquet"
    pq.write_table(pa.Table.from_pylist(rows, schema=CASES), path)
    found = case_scores({"k": path}, metric="dice", charge=CHARGE).to_pylist()
    by_case = {row["case_id"]: (row["score"], row["failed"]) for row in found}
    assert by_case == {
        "c0": (0.5, 0),
        "c1": (None, 1),
        "c2": (None, 1),
        "c3": (None, 1),
    }
