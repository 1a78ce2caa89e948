"""Reading benchmark files: what a right one resolves to, and all that can be wrong."""

import pytest

from harness.schema.errors import UserError

from_tests = pytest.mark.parametrize


def test_a_right_file_resolves_to_what_it_says(bench):
    matrix = bench.load()
    assert [each.name for each in matrix.methods] == ["plain", "masked", "harder"]
    plain, masked, harder = matrix.methods
    assert (plain.role, plain.corpus) == ("baseline", None)
    assert (masked.version, masked.stem, harder.stem) == (3, "masked", "masked")
    assert masked.settings["mask_ratio"] == 0.6
    assert harder.settings["mask_ratio"] == 0.75
    assert masked.settings["steps"] == 4  # MethodSettings at tier tiny
    assert masked.encoder_kind == "swin"
    assert masked.encoder["width"] == 12  # SwinSettings at tier tiny
    assert masked.corpus.name == "toys"
    assert matrix.protocols["finetune"].settings.steps == 7
    assert matrix.protocols["finetune"].settings.batch == 2  # tier tiny
    assert [task.crop for task in matrix.tasks] == [(16, 16, 16)] * 2
    assert [str(each) for each in matrix.tasks[0].budgets] == ["5-shot", "100%"]
    assert matrix.seeds == (0, 1)
    assert matrix.pretraining_seeds == (0,)
    assert matrix.results == bench.root.resolve() / "results"


def test_numbers_are_read_as_people_write_them(bench):
    matrix = bench.load("""
        tier: tiny
        corpus: [organs]
        methods:
          masked: {lr: 1e-3, mask_ratio: 70%, steps: 1_000, warmup: 010}
        protocols:
          finetune: {lr: 5E-4, rotate: .5}
        tasks: [organs]
        label_budgets: [10%, 0.5, 5-shot, n=3, '20%']
        """)
    settings = matrix.methods[0].settings
    assert settings["lr"] == 0.001
    assert settings["mask_ratio"] == 0.7
    assert settings["steps"] == 1000
    assert settings["warmup"] == 10
    assert matrix.protocols["finetune"].settings.lr == 0.0005
    assert matrix.protocols["finetune"].settings.rotate == 0.5
    budgets = [str(each) for each in matrix.tasks[0].budgets]
    assert budgets == ["10%", "50%", "5-shot", "n=3", "20%"]


def test_all_mistakes_of_a_file_are_told_at_once_with_their_lines(bench):
    text = """tier: smal
corpus: toyz
methods:
  plain: {encoder: {widht: 3}}
  maskd:
  masked: {mask_ratoi: 0.5, steps: -2}
protocols:
  finetune: {stepz: 3}
  zzz:
tasks:
  organs: {protocols: [finetun], crp: [1, 1, 1]}
  lungs:
label_budgets: [5-shots, 120%, ten]
seeds: [0, 0]
folds: none
colour: red
"""
    found = bench.mistakes(text)
    said = {line: message for line, message in found}
    assert "'tiny', 'small', 'demo' or 'paper', not 'smal'" in said[1]
    assert "Did you mean 'small'?" in said[1]
    assert said[2] == "unknown corpus 'toyz'. Did you mean 'toys'?"
    assert said[4] == "unknown key 'widht'. Did you mean 'width'?"
    assert said[5].startswith("unknown method 'maskd'. Did you mean 'masked'?")
    messages = [message for line, message in found if line == 6]
    assert "unknown key 'mask_ratoi'. Did you mean 'mask_ratio'?" in messages
    assert "steps: expected greater than or equal to 1, not -2" in messages
    assert said[8].endswith("unknown key 'stepz'. Did you mean 'steps'?")
    assert said[9].startswith("unknown protocol 'zzz'. Known: cluster, finetune, ")
    messages = [message for line, message in found if line == 11]
    assert "unknown protocol 'finetun'. Did you mean 'finetune'?" in messages
    assert any(
        m.startswith("unknown key 'crp'. Did you mean 'crop'?") for m in messages
    )
    assert said[12].startswith("unknown task 'lungs'. Known: absent, nodules")
    assert [line for line, _ in found].count(13) == 2  # 5-shots is fine, two are not
    assert said[14] == "seeds: 0 stands twice"
    assert said[15].startswith("folds: expected a valid integer")
    assert said[16] == (
        "unknown key 'colour'. Known: content, corpus, data_root, data_roots, folds, "
        "label_budgets, methods, pretraining_seeds, protocols, seeds, subset_draw, "
        "tasks, ...."
    ) or said[16].startswith("unknown key 'colour'")


def test_duplicate_keys_are_refused_with_both_lines(bench):
    text = "tier: tiny\nmethods: {plain: }\nmethods: {masked: }\n"
    assert (3, "duplicate key 'methods': it stands on line 2 and again on line 3; "
            "keep one") in bench.mistakes(text)  # fmt: skip


@from_tests(
    ("text", "line", "part"),
    [
        ("", 1, "the file is empty"),
        ("- a\n- b\n", 1, "the file is a list"),
        ("just words", 1, "the file is a single value"),
        ("tier: tiny\n\tmethods: {}\n", 2, "invalid YAML"),
        ("a: [1, 2\nb: 3\n", 2, "invalid YAML"),
        ("a: 1\n---\nb: 2\n", 2, "expected one document"),
        ("title: !!python/object:os.system x\n", 1, "YAML tags"),
        ("a: &x [*x]\n", 1, "no finished anchor"),
        ("a: " + "[" * 500 + "]" * 500, 1, "levels deep"),
        ("title: \"\\uD800\"\n", 1, "control characters"),
        ("title: \"\\U99999999\"\n", 1, "invalid YAML"),
        ("seeds: [" + "9" * 5000 + "]\n", 1, "too large"),
        ("folds: .inf\n", 1, "finite number"),
        ("folds: 1e999\n", 1, "too large"),
        ("? [a, b]\n: 1\n", 1, "expected a name before ':'"),
        ("title: a\u0001b\n", 1, "control character"),
        ("a: &a [x, x]\n" + "".join(
            f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join(['*' + chr(97 + i)] * 9)}]\n"
            for i in range(9)), 6, "once aliases are expanded"),
    ],
)  # fmt: skip
def test_hostile_files_are_refused_with_a_line(bench, text, line, part):
    found = bench.mistakes(text)
    assert any(part in message and line == at for at, message in found), found


@from_tests("raw", [b"\xff\xfe\x00a", b"tier: \x80", b"\x00\x01\x02"])
def test_bytes_that_are_not_text_are_refused(bench, raw):
    bench.path.write_bytes(raw)
    from harness.matrix import load

    with pytest.raises(UserError, match=r"benchmark.yaml:1: .*(UTF-8|control)"):
        load(bench.path)


def test_a_file_that_cannot_be_read_is_one_sentence(bench):
    from harness.matrix import load

    with pytest.raises(UserError, match="does not exist: name a benchmark file"):
        load(bench.root / "nowhere.yaml")
    with pytest.raises(UserError, match="is a folder"):
        load(bench.root)
    bench.path.write_bytes(b"#" * 600_000)
    with pytest.raises(UserError, match="larger than 512 kB"):
        load(bench.path)


BASE = """
tier: tiny
corpus: {corpus}
methods: {methods}
protocols: {protocols}
tasks: {tasks}
"""


def _text(**parts: str) -> str:
    usual = {
        "corpus": "toys", "methods": "[plain]", "protocols": "[finetune]",
        "tasks": "[organs]",
    }  # fmt: skip
    return BASE.format(**{**usual, **parts})


@from_tests(
    ("parts", "line", "said"),
    [
        ({"methods": "[flat]", "corpus": "[slices]"}, 4,
         "method flat works on 2-D volumes, and task organs is 3-D"),
        ({"methods": "[masked]", "corpus": "[slices]"}, 4,
         "task slices of its corpus is 2-D"),
        ({"methods": "[masked]", "corpus": "[pairs, organs]"}, 4,
         "masked needs one number of channels in its corpus: pairs has 2, organs has 1"),
        ({"methods": "{masked: {encoder: vit}}"}, 4,
         "unknown encoder 'vit'. Known: swin. masked cannot use it."),
        ({"methods": "{plain: {corpus: toys}}"}, 4, "plain is not pretrained"),
        ({"methods": "[masked]", "corpus": "~"}, 4, "masked needs a corpus"),
        ({"methods": "[broken]"}, 4,
         "broken.py could not be imported: ModuleNotFoundError: No module named "
         "'a_module_that_is_not_there' (line 1)."),
        ({"methods": "{a: {extends: masked}, masked: }"}, 4,
         "methods a and masked are the same"),
        ({"methods": "{plain: , b: {extends: plain}}"}, 4,
         "methods plain and b are the same"),
        ({"methods": "{a: {extends: b}, b: {extends: a}}"}, 4,
         "'a extends b extends a': a circle"),
        ({"methods": "{a: {extends: 3}}"}, 4, "expected the name of a method, not 3"),
        ({"methods": "{a: {extends: nothing}}"}, 4, "unknown method 'nothing'"),
        ({"methods": "{'../x': {extends: masked}}"}, 4, "'../x' is not a name"),
        ({"methods": "{plain: 3}"}, 4, "expected settings ('key: value' pairs)"),
        ({"methods": "{masked: {tiers: {huge: {}}}}"}, 4, "unknown tier 'huge'"),
        ({"methods": "{masked: {tiers: {paper: {stps: 3}}}}"}, 4, "unknown key 'stps'"),
        ({"methods": "{masked: {tiers: {tiny: {extends: x}}}}"}, 4,
         "'extends' cannot differ between tiers"),
        ({"methods": "{}"}, 4, "'methods' is missing"),
        ({"corpus": "[organs, lungs]", "methods": "[masked]"}, 3, "unknown task 'lungs'"),
        ({"corpus": "organs", "methods": "[masked]"}, 3, "write corpus: [organs]"),
        ({"corpus": "{}", "methods": "[masked]"}, 3, "expected a name in corpora/"),
        ({"protocols": "[linear_probe]"}, 6,
         "protocol linear_probe is for classification tasks, and organs is a "
         "segmentation task"),
        ({"protocols": "{a: {extends: finetune}, finetune: }"}, 5,
         "protocols a and finetune are the same"),
        ({"tasks": "{organs: {protocols: [linear_probe]}}"}, 6,
         "unknown protocol 'linear_probe'. Known: finetune. Add it under protocols."),
        ({"tasks": "{organs: {title: x}}"}, 6, "can only be set in its own file"),
        ({"tasks": "{organs: {crop: [1, 2]}}"}, 6,
         "organs: crop at tier tiny has 2 sides, and the task is 3-D"),
        ({"tasks": "{organs: {preprocess: {spacng: 1}}}"}, 6, "unknown key 'spacng'"),
        ({"tasks": "{absent: {cases: 3}}"}, 6, "where data is generated only"),
        ({"tasks": "{organs: {label_budgets: [0]}}"}, 6, "is not a label budget"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_with_the_reason(bench, parts, line, said):
    found = bench.mistakes(_text(**parts))
    assert any(said in message and at == line for at, message in found), found


def test_a_tier_without_crop_is_refused(bench):
    text = _text(protocols="{finetune: }").replace("tier: tiny", "tier: demo")
    assert bench.mistakes(text) == [
        (6, "organs has no crop for tier demo: set 'crop: [..]'")
    ]
    changed = text.replace("[organs]", "{organs: {crop: [8, 8, 8]}}")
    assert bench.load(changed).tasks[0].crop == (8, 8, 8)


def test_extends_reaches_variants_and_other_entries(bench):
    bench.add("methods/twice.yaml", "extends: masked_hard\nlr: 0.5\n")
    matrix = bench.load(
        _text(
            methods="""
          masked_hard:
          own: {extends: twice, tiers: {tiny: {steps: 9}, small: {steps: 5}}}
          last: {extends: own, batch: 1, corpus: [nodules], encoder: {width: 24}}
        """
        )
    )
    hard, own, last = (each.settings for each in matrix.methods)
    assert hard["mask_ratio"] == own["mask_ratio"] == last["mask_ratio"] == 0.9
    assert own["lr"] == last["lr"] == 0.5
    assert own["steps"] == last["steps"] == 9
    assert (own["batch"], last["batch"]) == (2, 1)
    assert (own["encoder"]["width"], last["encoder"]["width"]) == (12, 24)
    assert matrix.methods[2].corpus.name == "nodules"
    assert {each.stem for each in matrix.methods} == {"masked"}


def test_a_mistake_in_a_variant_file_points_into_that_file(bench):
    bench.add("methods/bad.yaml", "extends: masked\n\nmask_ration: 3\n")
    from harness.schema.errors import Mistakes

    with pytest.raises(Mistakes) as caught:
        bench.load(_text(methods="[bad]"))
    (mistake,) = caught.value.mistakes
    assert mistake.file.endswith("methods/bad.yaml")
    assert mistake.line == 3
    assert mistake.message == "unknown key 'mask_ration'. Did you mean 'mask_ratio'?"


def test_a_mistake_in_a_task_file_points_into_that_file(bench):
    path = bench.root / "tasks/organs.yaml"
    path.write_text(path.read_text().replace("modality:", "modalty:"))
    from harness.schema.errors import Mistakes

    with pytest.raises(Mistakes) as caught:
        bench.load(_text())
    (missing, unknown) = caught.value.mistakes
    assert unknown.file.endswith("tasks/organs.yaml")
    assert unknown.line == 4
    assert "unknown key 'modalty'. Did you mean 'modality'?" in unknown.message
    assert "'modality' is missing" in missing.message


def test_task_overrides_reach_the_task_and_the_corpus(bench):
    matrix = bench.load(
        _text(
            methods="[masked]",
            tasks="{organs: {allow_partial: true, preprocess: {spacing: [1, 1, 2]}}}",
        )
    )
    spec = matrix.tasks[0].spec
    assert spec.allow_partial
    assert spec.preprocess.spacing == (1, 1, 2)
    assert spec.preprocess.intensity.high == 1  # the rest of the block stays
    assert matrix.corpus_tasks["organs"] == spec


def test_data_is_looked_for_in_the_roots_of_the_file_first(bench, monkeypatch):
    monkeypatch.setenv("MEDSSL_DATA", "/somewhere/else")
    matrix = bench.load("data_root: mine\n" + _text())
    assert [str(path) for path in matrix.data_roots] == [
        str(bench.root / "mine"), "/somewhere/else", str(bench.root / "data"),
    ]  # fmt: skip


def test_the_tier_can_be_asked_for(bench):
    assert bench.load(_text(), tier="small").tasks[0].crop == (32, 32, 32)


def test_a_matrix_beyond_counting_is_refused(bench):
    text = _text(methods="[masked]") + (
        f"seeds: {list(range(1000))}\npretraining_seeds: {list(range(1000))}\n"
        "label_budgets: [1-shot, 2-shot, 3-shot]\n"
    )
    assert "more than the 2000000 allowed" in bench.mistakes(text)[0][1]
