"""Where profiles come from: the shared file, the person's, and which of them is taken."""

import re

import pytest

from harness.matrix.clusters import choose, personal_path, read_personal
from harness.matrix.profiles import Profile
from harness.schema.errors import Mistakes, UserError


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Write the person's file; return what it is read as."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))

    def write(text):
        personal_path().parent.mkdir(parents=True, exist_ok=True)
        personal_path().write_text(text)
        return read_personal()

    return write


def profiles(**bodies):
    return {name: Profile.model_validate(body) for name, body in bodies.items()}


def test_without_files_there_is_a_profile_without_wishes(own):
    assert choose({}, read_personal()) == Profile()


def test_the_configuration_folder_is_the_users(monkeypatch, tmp_path):
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert personal_path() == tmp_path / ".config/medssl-bench/clusters.yaml"


def test_a_profile_extends_default_and_what_it_names(own):
    personal = own("""
clusters:
  lab: {extends: site, account: a1, setup: [module load cuda], gpus: 2}
  site: {partition: long, mem: 4G}
""")
    shared = profiles(default={"mem": "64G", "time": 90}, lab={"gpus": 1, "cpus": 3})
    found = choose(shared, personal, "lab")
    assert (found.account, found.partition, found.setup) == (
        "a1", "long", ("module load cuda",),
    )  # fmt: skip
    assert (found.mem, found.time) == (4096, 90)  # site over default
    assert (found.gpus, found.cpus) == (2, 3)  # the person's over the shared
    assert choose(shared, personal).mem == 65536


def test_particular_needs_of_a_method_stand_against_a_general_word_of_a_site(own):
    personal = own("clusters: {lab: {mem: 8G}}")
    shared = profiles(default={"methods": {"big": {"mem": "64G"}}})
    found = choose(shared, personal, "lab")
    assert found.asked("pretrain", "big").mem == 65536
    assert found.asked("pretrain", "other").mem == 8192


def test_the_persons_file_can_choose(own):
    personal = own("profile: lab\nclusters: {lab: {account: a1}, other: }")
    assert choose({}, personal).account == "a1"
    assert choose({}, personal, "other").account is None


def test_an_unknown_profile_names_the_nearest_and_the_places(own):
    personal = own("clusters: {lab: }")
    with pytest.raises(UserError, match=r"unknown profile 'lap'. Did you mean 'lab'\?"):
        choose({}, personal, "lap")
    where = re.escape("medssl-bench/clusters.yaml")
    with pytest.raises(UserError, match=where):
        choose({}, personal, "lap")


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("clusters:\n  lab: {partitoin: x}", 2, "Did you mean 'partition'?"),
        ("clusters:\n  lab:\n    time: 4h", 3, "clusters.lab.time: '4h' is not a time"),
        ("profile: lap\nclusters: {lab: }", 1, "Did you mean 'lab'?"),
        ("clusters:\n  a: {extends: b}\n  b: {extends: a}", 2, "a extends b extends a"),
        ("clusters:\n  'a b': {}", 2, "'a b' is not a name"),
        ('clusters:\n  lab: {setup: ["x\\ny"]}', 2, "is more than one line"),
        ("clusters: 7", 1, "clusters: expected 'key: value' pairs"),
        ("clusters:\n  lab: 7", 2, "clusters.lab:"),
        ("colour: red", 1, "unknown key 'colour'"),
    ],
)
def test_mistakes_of_the_persons_file_have_their_lines(own, text, line, message):
    with pytest.raises(Mistakes) as told:
        own(text)
    found = {each.line: each.message for each in told.value.mistakes}
    assert message in found[line]


def test_a_person_may_extend_what_is_only_elsewhere(own):
    personal = own("clusters: {lab: {extends: site}}")
    assert choose(profiles(site={"qos": "high"}), personal, "lab").qos == "high"
    with pytest.raises(UserError, match="unknown profile 'site'"):
        choose({}, personal, "lab")
    circle = profiles(lab={"extends": "site"}, site={"extends": "lab"})
    with pytest.raises(UserError, match="lab extends site extends lab: a circle"):
        choose(circle, own("clusters: {lab: }"), "lab")


def test_the_benchmark_file_may_hold_profiles(bench):
    text = """
tier: tiny
corpus: toys
methods: [plain, masked]
protocols: [finetune]
tasks: [organs]
clusters:
  default: {mem: 8G, methods: {masked: {gpus: 1}}, tasks: {organs: }}
"""
    matrix = bench.load(text)
    assert matrix.clusters["default"].asked("pretrain", "masked").gpus == 1


def test_mistakes_of_shared_profiles_have_their_lines(bench):
    text = """tier: tiny
corpus: toys
methods: [plain, masked]
protocols: [finetune]
tasks: [organs]
clusters:
  default:
    methods: {maskd: {gpus: 1}}
    tasks: {lungs: {gpus: 1}}
    setup: [module load cuda]
    python: python3
  lab: {extends: sight}
  site: {mem: lots}
"""
    said = dict(bench.mistakes(text))
    assert "clusters.site.mem: 'lots' is not a memory size" in said[13]
    text = text.replace("lots", "8G")
    said = dict(bench.mistakes(text))
    assert "unknown method 'maskd'. Did you mean 'masked'?" in said[8]
    assert "unknown task 'lungs'" in said[9]
    assert "'setup' says what runs on a person's account" in said[10]
    assert "clusters.yaml, not into a shared file" in said[11]
    assert "unknown profile 'sight'" in said[12]


def test_profiles_are_no_part_of_what_is_computed(bench):
    text = """
tier: tiny
methods: [plain]
protocols: [finetune]
tasks: [organs]
"""
    from harness.plan import make_plan

    before = [cell.evaluate_key for cell in make_plan(bench.load(text)).cells]
    after = make_plan(bench.load(text + "clusters: {default: {mem: 8G}}\n")).cells
    assert [cell.evaluate_key for cell in after] == before
