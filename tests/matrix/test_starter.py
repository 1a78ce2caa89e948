"""`harness new benchmark`: what is written is valid and says what was found.

The fixture `bench` is asked for since it describes methods in this process.
"""

import csv

import numpy as np
import pytest
import yaml
from PIL import Image

from harness.matrix.starter import write_benchmark
from harness.schema.errors import UserError


@pytest.fixture
def pictures(tmp_path):
    """A table of 30 grey pictures of two classes."""
    folder = tmp_path / "My X-rays"
    folder.mkdir()
    rows = []
    for number in range(30):
        grey = np.random.default_rng(number).integers(0, 255, (12, 10), np.uint8)
        Image.fromarray(grey).save(folder / f"{number}.png")
        rows.append((f"{number}.png", "ill" if number % 3 else "well"))
    with (folder / "list.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("image", "target"), *rows])
    return folder / "list.csv"


def test_a_classification_of_pictures(pictures, tmp_path, bench):
    folder = tmp_path / "mine"
    files = write_benchmark(folder, pictures)
    names = {str(path.relative_to(folder)) for path in files}
    assert names == {"README.md", "benchmark.yaml", "methods", "tasks/my_x_rays.yaml"}
    benchmark = yaml.safe_load((folder / "benchmark.yaml").read_text())
    assert benchmark["methods"] == {
        "random": {"encoder": {"kind": "resnet", "dims": 2}}
    }
    assert benchmark["folds"] == 3
    assert benchmark["label_budgets"] == ["3-shot", "100%"]
    task = yaml.safe_load((folder / "tasks/my_x_rays.yaml").read_text())
    assert task["target"]["classes"] == ["ill", "well"]
    assert task["split"] == {"kind": "counts", "val": 4, "test": 8}
    assert task["format"]["columns"] == {"image": ["image"]}
    assert (folder / "methods/random.py").is_file()
    readme = (folder / "README.md").read_text()
    assert "8 of 30 cases are for the test" in readme
    assert "add a column `patient`" in readme
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def rewritten(table, change):
    """Write the table anew: `change` may alter a row, and returns what is added."""
    with table.open(newline="") as file:
        rows = list(csv.reader(file))
    for n, row in enumerate(rows):
        row += change(n, row)
    with table.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return table


def test_sides_and_paths_as_tables_have_them(pictures, tmp_path, bench):
    """Without validation some of the training validates; paths may be whole ones."""

    def change(n, row):
        if n == 0:
            return ["split"]
        row[0] = str(pictures.parent / row[0])
        if n == 4:
            row[1] = ""  # no class: left out
        return ["Training" if n % 4 else "Testing"]

    write_benchmark(tmp_path / "mine", rewritten(pictures, change))
    task = yaml.safe_load((tmp_path / "mine/tasks/my_x_rays.yaml").read_text())
    assert task["split"] == {"kind": "publisher", "val": 0.15}
    assert task["target"]["values"] == {"": None}
    assert task["cases"] == 29


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda n, _: ["hold out" if n else "split"],
            "'hold out' under 'split' is no",
        ),
        (lambda n, _: ["train" if n else "split"], "of its 30 cases none is in test"),
        (lambda n, _: [str(n)] if n == 3 else [], "list.csv:4: has 3 fields, not 2"),
        (
            lambda n, _: (
                [f"p{n % 9}", "test" if n % 2 else "train"]
                if n
                else ["patient", "split"]
            ),
            "is both in .*, which would leak",
        ),
    ],
)
def test_cases_that_cannot_be_listed_or_divided(
    pictures, tmp_path, bench, change, said
):
    with pytest.raises(UserError, match=said):
        write_benchmark(tmp_path / "mine", rewritten(pictures, change))
    assert not list(tmp_path.glob("*mine*"))


def test_without_a_table_the_data_are_synthetic(tmp_path, bench):
    folder = tmp_path / "first"
    weights = tmp_path / "encoder.pt"
    files = write_benchmark(folder, None)
    assert folder / "tasks/phantom_organs.py" in files
    assert "painted" in (folder / "README.md").read_text()
    with pytest.raises(UserError, match="first exists and is not empty"):
        write_benchmark(folder, None)
    for given, sentence in [
        (f"smit_public={weights}", "expected PRESET=FILE, and a file that is there"),
        ("smit_public", "expected PRESET=FILE"),
    ]:
        with pytest.raises(UserError, match=sentence):
            write_benchmark(tmp_path / "other", None, [given])
    weights.touch()
    with pytest.raises(UserError, match="unknown method 'smitt'"):
        write_benchmark(tmp_path / "other", None, [f"smitt={weights}"])
    with pytest.raises(
        UserError, match=r"encoder\.pt"
    ):  # an empty file holds no weights
        write_benchmark(tmp_path / "other", None, [f"smit_public={weights}"])
    assert not [path for path in tmp_path.iterdir() if "other" in path.name]
