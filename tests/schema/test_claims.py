"""The grammar of claims."""

import pytest

from harness.schema.claims import Item, Side, parse_claim


def test_a_plain_claim():
    found = parse_claim("smit > simmim on dice at 5-shot")
    left, right = found.sides
    assert (found.op, found.margin) == (">", None)
    assert left == Side("score", ("smit",), None, 0.0, (Item("dice"),), ("5-shot",))
    assert right.names == ("simmim",)
    assert right.at == ("5-shot",)


@pytest.mark.parametrize(
    ("text", "quantities", "names"),
    [
        ("gap(smit) < gap(*)", ["gap", "gap"], [("smit",), ("*",)]),
        ("a, b > c, d", ["score", "score"], [("a", "b"), ("c", "d")]),
        ("mean(a, b) > spread(c, d)", ["mean", "spread"], [("a", "b"), ("c", "d")]),
        ("dice(a) > 0.79", ["score", "score"], [("a",), ()]),
        ("a > b > c", ["score"] * 3, [("a",), ("b",), ("c",)]),
        ("spread(*) at 1% > spread(*) at 100%", ["spread"] * 2, [("*",)] * 2),
    ],
)
def test_sides(text, quantities, names):
    found = parse_claim(text).sides
    assert [side.quantity for side in found] == quantities
    assert [side.names for side in found] == names


def test_scopes_stand_on_either_side_and_differ_where_both_state_them():
    left, right = parse_claim("a at 50% > b at 100%, n=20 on dice, btcv with p").sides
    assert (left.at, right.at) == (("50%",), ("100%", "n=20"))
    assert left.on == right.on == (Item("dice"), Item("btcv"))
    assert left.protocols == ("p",)
    left, right = parse_claim("a on dice > b").sides
    assert right.on == (Item("dice"),)


def test_structures_offsets_numbers_and_margins():
    found = parse_claim("a > b + 0.03 on dice[left kidney]")
    assert found.sides[1].offset == 0.03
    assert found.sides[0].on == (Item("dice", "left kidney"),)
    assert parse_claim("a > b - .5").sides[1].offset == -0.5
    same = parse_claim("a ~ b within 0.01 on dice")
    assert same.sides == parse_claim("a ~ b on dice within 0.01").sides
    assert (same.op, same.margin) == ("~", 0.01)
    assert parse_claim("dice(a) > .79").sides[1].number == 0.79
    assert parse_claim("a   >b").text == "a >b"
    assert str(parse_claim("gap(a, b) > c").sides[0]) == "gap(a, b)"
    assert str(found.sides[1]) == "b +0.03"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "expected a method in an empty claim"),
        ("smit", "expected >, < or ~ after 'smit'"),
        ("smit >", "expected a method after '>'"),
        ("> smit", "expected a method before '>'"),
        ("a > b < c", "a chain has one sign throughout"),
        ("a > b on", "expected a metric or a task after 'on'"),
        ("a > b at soon", "'soon' is not a label budget"),
        ("a > b at", "expected a label budget after 'at'"),
        ("gape(a) > gap(b)", r"'gape' is not a quantity.*'gap'\?"),
        ("gap(a > b", r"expected '\)' before '>'"),
        ("a ~ b", "'~' needs 'within'"),
        ("a > b within 0.1", "only '~' has one"),
        ("a ~ b within much", "expected a number after 'within'"),
        ("1 > 0.5", "expected a method on one side at least"),
        ("* > *", r"'\*' can stand on one side only"),
        ("a, a > b", "a method stands twice"),
        ("a > b c", "'c' is too much after 'b'"),
        ("a > b on dice[", "expected a structure or class in brackets"),
        ("a >= b", "expected"),
        ("a > b + much", "expected a number after"),
        ("on > b", "expected a method before 'on'"),
        ("a / b > c", "expected >, < or ~ before '/'"),
    ],
)
def test_what_is_wrong_is_said(text, sentence):
    with pytest.raises(ValueError, match=sentence):
        parse_claim(text)


def test_a_long_claim_is_cut_in_the_message():
    with pytest.raises(ValueError, match=r"^claim 'xxx") as error:
        parse_claim("x" * 400)
    assert len(str(error.value)) < 200
