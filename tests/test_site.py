"""The site of docs/: its links to files outside docs/, and that every page is in it."""

import re
from pathlib import Path

import pytest
import yaml

commands = pytest.importorskip("mkdocs.commands.build")
mkdocs_config = pytest.importorskip("mkdocs.config")

ROOT = Path(__file__).parent.parent


def _build(tmp_path, page: str, name: str = "index.md") -> Path:
    """Build a site of one page, strictly, beside a source file; the folder of the site."""
    docs = tmp_path / "docs"
    (docs / name).parent.mkdir(parents=True)
    (docs / name).write_text(page)
    (tmp_path / "vmr_jax").mkdir()
    (tmp_path / "vmr_jax" / "types.py").write_text("Array = None\n")
    settings = {"site_name": "test", "strict": True, "plugins": []}
    settings["hooks"] = [str(ROOT / "tools/site_files.py")]
    (tmp_path / "mkdocs.yml").write_text(yaml.safe_dump(settings))
    config = mkdocs_config.load_config(str(tmp_path / "mkdocs.yml"))
    commands.build(config)
    return tmp_path / "site"


@pytest.mark.parametrize(
    ("name", "link", "copied"),
    [
        ("index.md", "../vmr_jax/types.py", "files/vmr_jax/types.py.txt"),
        ("papers/eva.md", "../../vmr_jax/types.py#L1", "../../files/vmr_jax/types.py.txt"),
    ],
)
def test_a_file_outside_docs_is_copied_and_linked(tmp_path, name, link, copied):
    site = _build(tmp_path, f"# Title\n\n[types]({link}) and [again]({link})\n", name)
    assert (site / "files/vmr_jax/types.py.txt").read_text() == "Array = None\n"
    page = site / name.replace("index.md", "index.html").replace(".md", "/index.html")
    assert page.read_text().count(f'href="{copied}"') == 2


@pytest.mark.parametrize("link", ["../vmr_jax/nothing.py", "nothing.md"])
def test_a_link_that_leads_nowhere_fails_the_build(tmp_path, caplog, link):
    with pytest.raises(Exception, match="strict mode"):
        _build(tmp_path, f"# Title\n\n[nothing]({link})\n")
    assert f"contains a link '{link}'" in caplog.text


def test_the_site_has_every_page():
    pages = (ROOT / "mkdocs.yml").read_text().partition("\nnav:")[2].partition("\nhooks:")[0]
    shown = set(re.findall(r"[\w/]+\.md", pages))
    assert shown == {str(page.relative_to(ROOT / "docs")) for page in (ROOT / "docs").rglob("*.md")}
