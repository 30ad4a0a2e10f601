"""What the files around the code say is true of it: versions, papers, hooks, the bug form."""

import tomllib
from pathlib import Path

import yaml

from vmr_jax import __version__

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def _yaml(name: str):
    return yaml.safe_load((ROOT / name).read_text())


def test_versions_and_licences_agree():
    citation = _yaml("CITATION.cff")
    assert PROJECT["version"] == str(citation["version"]) == __version__
    assert PROJECT["license"] == citation["license"] == "Apache-2.0"
    licence = (ROOT / "LICENSE").read_text()
    assert "Apache License" in licence and "END OF TERMS AND CONDITIONS" in licence
    assert f"## [{__version__}]" in (ROOT / "CHANGELOG.md").read_text()


def test_the_citation_has_every_paper():
    papers = {reference["notes"].split(";")[0] for reference in _yaml("CITATION.cff")["references"]}
    assert papers == {"EVA", "VLANet", "MMN", "VDI", "PREM", "MMCDA", "Moment-DETR", "QD-DETR"}
    page = (ROOT / "docs/systems.md").read_text()
    for reference in _yaml("CITATION.cff")["references"]:
        number = reference["url"].removeprefix("https://arxiv.org/abs/")
        assert f"{{{number}}}" in page, reference["title"]


def test_no_two_test_files_share_a_name():
    """pytest imports them by name alone."""
    names = sorted(path.name for path in (ROOT / "tests").rglob("test_*.py"))
    assert names == sorted(set(names))


def test_hooks_download_nothing():
    repos = _yaml(".pre-commit-config.yaml")["repos"]
    assert [repo["repo"] for repo in repos] == ["local"]
    hooks = {hook["id"]: hook for repo in repos for hook in repo["hooks"]}
    assert {"ruff-check", "ruff-format"} <= hooks.keys()
    assert {hook["language"] for hook in hooks.values()} == {"system"}


def test_the_bug_form_asks_for_what_is_needed():
    fields = {part["id"]: part for part in _yaml(".github/ISSUE_TEMPLATE/bug.yml")["body"]}
    asked = " ".join(str(part["attributes"]) for part in fields.values())
    assert "`vmr doctor`" in asked and "`vmr --version`" in asked
    required = {name for name, part in fields.items() if "validations" in part}
    assert required == {"version", "command", "error", "doctor"}
