from harness.schema.errors import DataError, Exit, Mistake, Mistakes, UserError, nearest


def test_exit_codes_are_those_of_the_documentation():
    codes = {one.name: int(one) for one in Exit}
    assert codes == {
        "DONE": 0, "FAILED": 1, "USAGE": 2, "INCOMPLETE": 3, "BLOCKED": 75,
    }  # fmt: skip


def test_all_mistakes_are_told_at_once_in_order_and_once():
    late, early = Mistake("b.yaml", 10, "x"), Mistake("b.yaml", 9, "y")
    error = Mistakes([late, early, late])
    assert str(error) == "b.yaml:9: y\nb.yaml:10: x"
    assert error.mistakes == (early, late)
    assert isinstance(error, UserError)
    assert issubclass(DataError, UserError)


def test_the_nearest_name_is_offered_if_there_is_one():
    known = ["simmim", "smit", "random"]
    assert nearest("simmin", known) == " Did you mean 'simmim'?"
    assert nearest("zzz", known) == ""
    assert nearest("a", []) == ""
