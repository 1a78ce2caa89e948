"""Documentation that can be checked is checked: links, YAML, targets, the tree."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted(
    path
    for path in [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        ROOT / "results/README.md",
    ]
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_local_links_lead_somewhere(page):
    text = re.sub(r"`[^`\n]*`", "", page.read_text())  # code is no link
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_yaml_blocks_parse(page):
    for block in re.findall(r"```yaml\n(.*?)```", page.read_text(), flags=re.DOTALL):
        assert yaml.safe_load(block) is not None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_make_targets_that_are_named_exist(page):
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, flags=re.MULTILINE))
    named = set(re.findall(r"`make ([a-z-]+)", page.read_text()))
    assert named <= targets


def test_the_readme_draws_the_tree_that_is_there():
    tree = re.search(
        r"```text\n(benchmark\.yaml.*?)```", (ROOT / "README.md").read_text(), re.DOTALL
    )
    assert tree is not None
    drawn = {
        line.split()[0].rstrip("/") for line in tree[1].splitlines() if line.strip()
    }
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    tops = {line.split("/")[0] for line in listed.stdout.splitlines()}
    assert {name for name in tops if (ROOT / name).is_dir() and name != ".ci"} == {
        name for name in drawn if (ROOT / name).is_dir()
    }


CLUSTERS = ROOT / "docs/clusters.md"


def test_the_profiles_of_the_page_on_clusters_are_right(tmp_path):
    """Each block is read as a person's file is, or as part of the quickstart."""
    from harness.matrix import load
    from harness.matrix.clusters import choose, read_personal

    blocks = re.findall(r"```yaml\n(.*?)```", CLUSTERS.read_text(), flags=re.DOTALL)
    shared = [block for block in blocks if block.startswith("# benchmark.yaml")]
    for number, block in enumerate(block for block in blocks if block not in shared):
        path = tmp_path / f"{number}.yaml"
        path.write_text(block)
        personal = read_personal(path)
        assert all(choose({}, personal, name) for name in personal.clusters)
    [block] = shared
    text = (ROOT / "benchmark.yaml").read_text()
    path = tmp_path / "benchmark.yaml"
    path.write_text(f"content: [{ROOT}]\n{text}\n{block}")
    profile = load(path).clusters["default"]
    assert profile.asked("pretrain", "smit").mem == 24 * 1024
    assert profile.asked("pretrain", "smit").time == 36 * 60


def test_the_page_on_clusters_names_every_key_of_a_profile():
    from harness.matrix.profiles import Profile, RetryRule

    text = CLUSTERS.read_text()
    for key in [*Profile.model_fields, *RetryRule.model_fields]:
        assert f"`{key}`" in text or f"{key}:" in text, key


def test_the_defaults_that_the_page_on_clusters_names_are_the_defaults():
    from harness.matrix.profiles import RetryRule
    from harness.submit.arrays import CALLS
    from harness.submit.family import SAME
    from harness.submit.resources import Resources

    rule, text = RetryRule(), CLUSTERS.read_text()
    for key in ("times", "mem", "time", "timeouts"):
        assert re.search(rf"\b{key}: {getattr(rule, key)}\b", text), key
    assert f"more than {CALLS} calls of sbatch" in text
    assert (SAME, Resources(1).parallel, Resources(1).signal_s) == (3, 256, 90)
    assert "(256)" in text
    assert "(90;" in text


def test_the_commands_of_the_guide_to_running_exist():
    import shlex

    from harness.cli.main import parser

    text = (ROOT / "docs/running.md").read_text()
    lines = re.findall(r"^    (harness .*?)(?:   .*)?$", text, flags=re.MULTILINE)
    assert len(lines) > 12
    for line in lines:
        parser().parse_args(shlex.split(line)[1:])  # SystemExit if it does not parse


def test_the_matrices_of_the_page_on_protocols_are_right(tmp_path):
    """Each block is a benchmark file without its first lines."""
    from harness.matrix import load

    page = ROOT / "docs/protocols.md"
    blocks = re.findall(r"```yaml\n(.*?)```", page.read_text(), flags=re.DOTALL)
    assert blocks
    for number, block in enumerate(blocks):
        path = tmp_path / f"{number}.yaml"
        path.write_text(f"tier: tiny\ncorpus: phantoms\ncontent: [{ROOT}]\n{block}")
        assert load(path).methods
