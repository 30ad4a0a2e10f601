"""The pages of docs/ and the docstrings agree: links, names of functions, codes of choices."""

import ast
import functools
import io
import re
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PAPERS = {
    "EVA": "eva",
    "VLANet": "vlanet",
    "MMN": "mmn_vdi",
    "VDI": "mmn_vdi",
    "PREM": "prem",
    "MMCDA": "mmcda",
    "DETR": "moment_detr",
}
SOURCES = [path for top in ("vmr_jax", "configs") for path in sorted((ROOT / top).rglob("*.py"))]
TESTS = sorted((ROOT / "tests").rglob("*.py"))
# A file that a command writes, and one of another repository.
NOT_OF_THIS_TREE = {"FOLDER/NAME.md", "standalone_eval/README.md"}

_LINK = re.compile(r"\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^()\s]+)\)")
_NAME = re.compile(r"`([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)`")
_CITED = re.compile(rf"\b({'|'.join(PAPERS)}) ((?:[A-Z]\d+(?:, | and | to )?)+)")
_PRIVATE = re.compile(
    r"\bspecifications?\b|\bspec,? (?:section\b|\d|[A-Z]\d|(?:metrics|\w+\.md)\b|"
    rf"(?:{'|'.join((*PAPERS, *PAPERS.values()))})\b)",
    re.IGNORECASE,
)
_ANCHOR = re.compile(r"[a-z]\d+")
_PAGE = re.compile(r"[\w./-]+\.md\b")


def links(page):
    """(text, file, anchor of a choice or "") of the relative links of a page."""
    prose = re.sub(
        r"^( *)```.*?^\1```", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE
    )
    found = []
    for text, target in _LINK.findall(prose):
        if not re.match(r"[a-z]+:", target):
            file, _, anchor = target.partition("#")
            path = (page.parent / file).resolve() if file else page
            found.append((text, path, anchor if _ANCHOR.fullmatch(anchor) else ""))
    return found


def anchors(page):
    """The choices of a paper's page: {"a1", "a2", ...}."""
    return set(re.findall(rf'<a id="({_ANCHOR.pattern})"></a>', page.read_text("utf-8")))


@functools.cache
def defined(path):
    """The functions, classes, methods (also as Class.method), fields and constants of a file."""
    tree = ast.parse(path.read_text("utf-8"))
    targets = [node.targets for node in tree.body if isinstance(node, ast.Assign)]
    names = {target.id for group in targets for target in group if isinstance(target, ast.Name)}

    def collect(node, prefix=""):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.ClassDef):
                names.update((child.name, prefix + child.name))
                collect(child, f"{child.name}." if isinstance(child, ast.ClassDef) else prefix)
            elif isinstance(child, ast.AnnAssign) and isinstance(child.target, ast.Name):
                names.add(prefix + child.target.id)
            else:
                collect(child, prefix)

    collect(tree)
    return names


@functools.cache
def remarks(path):
    """The docstrings of a file, and its comments, those of adjacent lines as one; on one line."""
    text = path.read_text("utf-8")
    holders = (ast.Module, ast.ClassDef, ast.FunctionDef)
    found = [ast.get_docstring(n) for n in ast.walk(ast.parse(text)) if isinstance(n, holders)]
    block, last = [], 0
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            if token.start[0] != last + 1:
                found.append(" ".join(block))
                block = []
            block.append(token.string.lstrip("# "))
            last = token.start[0]
    found.append(" ".join(block))
    return [" ".join(remark.split()) for remark in found if remark]


def cited_codes(remark):
    """[("EVA", "a13"), ("EVA", "a14")] of "EVA A13, A14"."""
    return [
        (paper, code.lower())
        for paper, codes in _CITED.findall(remark)
        for code in re.findall(r"[A-Z]\d+", codes)
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files(page):
    missing = [
        (str(path), anchor)
        for _, path, anchor in links(page)
        if not path.exists() or (anchor and anchor not in anchors(path))
    ]
    assert not missing


def is_in(name, path):
    """Whether a file is called so or defines it, as `models.make` stands in models/__init__.py."""
    known = {path.name, path.stem} | (defined(path) if path.exists() else set())
    return name in known or (name[0].islower() and name.rpartition(".")[2] in known)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_linked_names_are_where_the_page_says(page):
    named = [
        (match[1], path)
        for text, path, _ in links(page)
        if path.suffix == ".py" and (match := _NAME.fullmatch(text))
    ]
    assert named or page.parent.name != "papers"
    assert not [(name, path.name) for name, path in named if not is_in(name, path)]


@pytest.mark.parametrize("paper", PAPERS)
def test_cited_codes_have_an_anchor(paper):
    cited = {
        code: str(path.relative_to(ROOT))
        for path in SOURCES
        for remark in remarks(path)
        for of, code in cited_codes(remark)
        if of == paper
    }
    assert cited
    here = anchors(ROOT / f"docs/papers/{PAPERS[paper]}.md")
    assert not {code: path for code, path in cited.items() if code not in here}


@pytest.mark.parametrize("path", ["vmr_jax", "configs", "tests"])
def test_docstrings_and_comments_cite_only_what_is_here(path):
    wrong = [
        (str(file.relative_to(ROOT)), found)
        for file in (*SOURCES, *TESTS)
        if file.is_relative_to(ROOT / path)
        for remark in remarks(file)
        for found in (
            *(match[0] for match in _PRIVATE.finditer(remark)),
            *(
                page
                for page in _PAGE.findall(remark)
                if page not in NOT_OF_THIS_TREE and not (ROOT / page).exists()
            ),
        )
    ]
    assert not wrong


def test_what_counts_as_a_citation():
    assert cited_codes("(EVA A13, A14; VLANet V1 and V2)") == [
        ("EVA", "a13"),
        ("EVA", "a14"),
        ("VLANet", "v1"),
        ("VLANet", "v2"),
    ]
    assert cited_codes("EVA, Eq. 5, and MMCDA's M4") == []
    private = ["spec A7", "spec 2.4", "spec, section 1", "spec eva.md 2", "metrics specification"]
    assert all(map(_PRIVATE.search, private))
    assert not _PRIVATE.search("the spec's sizes, a DataSpec, spec.max_clips")
