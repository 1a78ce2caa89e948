"""Numbers that papers print: every mistake in the file is named with its line."""

import pytest

from harness.report.literature import NEEDED, OPTIONAL, read_literature
from harness.schema.errors import UserError

HEADER = "paper,place,method,task,protocol,label_budget,metric,value"
LINE = "zhang2024,Table 2,masked,organs,finetune,100%,dice,0.84"


@pytest.fixture
def file(tmp_path):
    def write(*lines):
        path = tmp_path / "published.csv"
        path.write_text("\n".join(lines) + "\n")
        return path

    return write


def test_columns_in_any_order_and_comments(file):
    path = file(
        "# printed in the paper",
        "value,low,high,metric,method,encoder,task,protocol,label_budget,place,paper",
        '0.84,0.81,0.87,dice,masked,swin,organs,finetune,1.0,"Table 2, row 3",z2024',
        "",
        "12.5,,,hd95,masked,,organs,finetune,5-shot,Fig. 4,z2024",
    )
    found = read_literature(path)
    assert list(found.columns) == [*NEEDED, *OPTIONAL]
    assert list(found.value) == [0.84, 12.5]
    assert found.place[0] == "Table 2, row 3"
    assert list(found.label_budget) == ["100%", "5-shot"]
    assert found.encoder.isna()[1]
    assert found.low.isna()[1]


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        ([], "is empty: it needs a header with paper, place"),
        ([HEADER.replace("metric", "metrik")], ":1: unknown column 'metrik'. Did you"),
        ([HEADER.removesuffix(",value")], ":1: the header lacks value"),
        ([f"{HEADER},value"], ":1: the header names a column twice"),
        ([HEADER, f"{LINE},0.9"], ":2: 9 values where the header has 8 columns"),
        ([HEADER, LINE, LINE.replace("zhang2024", "")], ":3: no paper"),
        ([HEADER, LINE.replace("0.84", "n/a")], ":2: value is 'n/a', which is not a"),
        ([HEADER, LINE.replace("0.84", "nan")], ":2: value is 'nan', which is not a"),
        (
            [HEADER, LINE.replace("0.84", "84")],
            "value 84 of dice lies outside 0 to 1; a",
        ),
        ([HEADER, LINE.replace("dice", "dise")], ":2: unknown metric 'dise'. Did you"),
        ([HEADER, LINE.replace("100%", "all")], ":2: label_budget 'all': "),
    ],
)
def test_each_mistake_is_one_sentence_with_its_line(file, lines, sentence):
    path = file(*lines)
    with pytest.raises(UserError) as caught:
        read_literature(path)
    assert sentence in str(caught.value)
    assert "published.csv" in str(caught.value)


def test_a_file_that_is_not_there_or_not_text(tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        read_literature(tmp_path / "none.csv")
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="cannot be read as text"):
        read_literature(tmp_path / "bytes.csv")
