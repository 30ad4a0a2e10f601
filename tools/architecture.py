"""Draw the imports of the package into docs/architecture.md, and check the order that they keep.

    python tools/architecture.py           # write the generated part of the page
    python tools/architecture.py --check   # status 1 if an arrow breaks a rule or the page is stale

An arrow is an import of a module of the package by another one, wherever it stands: inside a
function and under `if TYPE_CHECKING` as well. A module that is found by its name at run time, such
as a system, makes no arrow.
"""

import ast
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from importlib.util import resolve_name
from pathlib import Path
from typing import NamedTuple

PACKAGE = "vmr_jax"
PAGE = "docs/architecture.md"
BEGIN, END = "<!-- tools/architecture.py writes what follows -->", "<!-- up to here -->"

# From the top: a room may import rooms of its own tier and of those below.
TIERS = {
    "doors": (PACKAGE, "api", "main", "cli"),
    "runs": (
        "training",
        "evaluation",
        "search",
        "extract",
        "zero_shot",
        "demo",
        "video_index",
        "serve",
        "reproduce",
        "plots",
        "leaderboard",
    ),
    "systems and data": (
        "models",
        "configs",
        "config_files",
        "datasets",
        "data",
        "answers",
        "video",
        "speech",
        "export",
        "simulation",
    ),
    "parts": ("layers", "losses", "encoders", "weights", "decoding", "metrics"),
    "contracts": (
        "types",
        "overrides",
        "input_files",
        "output_files",
        "locks",
        "pickle_data",
        "progress",
    ),
}
# What each wing of data/ may import of the others.
WINGS = {
    "datasets": (),
    "sources": ("datasets",),
    "text": ("datasets", "sources"),
    "tables": ("datasets", "sources", "text"),
    "prepare": ("datasets", "sources", "text", "tables"),
    "batches": ("datasets", "text", "tables"),
}
PAPERS_READ = (("vdi", "mmn"),)  # VDI is defined as an addition to MMN
KNOW_SIMULATION = ("datasets", "reproduce", "cli", "simulation")
KNOW_FLAX = ("models", "layers", "encoders")


class Module(NamedTuple):
    """A file of the package."""

    path: str  # from the root of the tree
    purpose: str  # the first line of its docstring
    imports: set[str]  # modules of the package, by their dotted names
    libraries: set[str]  # the first names of all other modules


def read_tree(root: Path) -> dict[str, Module]:
    """Read every module of the package, to which configs/ belongs, by its dotted name."""
    files = {}
    for folder, name in ((root / PACKAGE, PACKAGE), (root / "configs", f"{PACKAGE}.configs")):
        for path in sorted(folder.rglob("*.py")):
            inner = path.relative_to(folder).with_suffix("").parts
            files[".".join([name, *(part for part in inner if part != "__init__")])] = path
    modules = {}
    for name, path in sorted(files.items()):
        tree = ast.parse(path.read_text(), str(path))
        package = name if path.stem == "__init__" else name.rpartition(".")[0]
        named = {target for node in ast.walk(tree) for target in _targets(node, package, files)}
        modules[name] = Module(
            str(path.relative_to(root)),
            (ast.get_docstring(tree) or "").partition("\n")[0],
            {target for target in named if target in files and target != name},
            {target.partition(".")[0] for target in named if target not in files},
        )
    return modules


def _targets(node: ast.AST, package: str, files: Collection[str]) -> Iterator[str]:
    """The modules that a statement imports, if it is an import."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        source = resolve_name("." * node.level + (node.module or ""), package)
        for alias in node.names:
            inner = f"{source}.{alias.name}"
            yield inner if inner in files else source


def room(name: str, depth: int = 1) -> str:
    """Where a module stands: the parts of its name below the package, `depth` of them at most."""
    return "/".join(name.split(".")[1 : 1 + depth]) or PACKAGE


def problems(modules: Mapping[str, Module]) -> list[str]:
    """What breaks a rule, a line each."""
    tier = {name: row for row, names in enumerate(TIERS.values()) for name in names}
    found = [f"{name} has no tier in TIERS" for name in modules if room(name) not in tier]
    found += [
        f"{name} imports flax, which only {', '.join(KNOW_FLAX)} know"
        for name, module in modules.items()
        if "flax" in module.libraries and room(name) not in KNOW_FLAX
    ]
    for name, module in modules.items():
        for target in sorted(module.imports):
            if tier.get(room(name), 0) > tier.get(room(target), 0):
                found.append(f"{name} -> {target} is an arrow upward")
            elif broken := _broken_inside(name, target):
                found.append(f"{name} -> {target} {broken}")
    try:
        TopologicalSorter({name: module.imports for name, module in modules.items()}).prepare()
    except CycleError as error:
        found.append(f"a cycle: {' -> '.join(reversed(error.args[1]))}")
    return found


def _broken_inside(name: str, target: str) -> str:
    """Which rule besides the tiers an arrow breaks, "" for none."""
    if room(target) == "simulation" and room(name) not in KNOW_SIMULATION:
        return "shows simulated data to code that reads real data"
    if room(name) != room(target) or room(name, 2) == room(target, 2):
        return ""
    part, other = room(name, 2).partition("/")[2], room(target, 2).partition("/")[2]
    if room(name) == "data" and other not in WINGS.get(part, ()):
        return "is against the order of data's wings"
    in_papers = room(name) == "models" and name.count(".") == target.count(".") == 3
    if in_papers and (part, other) not in PAPERS_READ:
        return "reads another paper's code"
    return ""


def page_part(modules: Mapping[str, Module]) -> str:
    """What the page says of the imports, in Markdown."""
    return "\n\n".join([*_packages(modules), *_wings(modules), *_rooms(modules)])


def _arrows(modules: Mapping[str, Module], depth: int) -> dict[str, set[str]]:
    """What each room imports of other rooms."""
    arrows = {room(name, depth): set() for name in modules}
    for name, module in modules.items():
        arrows[room(name, depth)] |= {room(target, depth) for target in module.imports}
    return {here: there - {here} for here, there in arrows.items()}


def _packages(modules: Mapping[str, Module]) -> Iterator[str]:
    """The packages in their tiers: a diagram, a table, and the pairs that import each other."""
    arrows = _arrows(modules, 1)
    yield "## Packages"
    yield _diagram(arrows)
    rows = [
        (tier, name, _listed(arrows.get(name, ())))
        for tier, names in TIERS.items()
        for name in names
    ]
    yield _table(("tier", "package", "imports"), rows)
    pairs = {
        f"{here} and {there}"
        for here, targets in arrows.items()
        for there in targets
        if here < there and here in arrows[there]
    }
    yield f"Packages that import each other, though no two of their modules do: {_listed(pairs)}."


def _diagram(arrows: Mapping[str, set[str]]) -> str:
    """The packages for mermaid; an arrow that two others make together is left out."""
    lines = ["```mermaid", "flowchart TD"]
    for tier, names in TIERS.items():
        lines += [f'    subgraph {tier.replace(" ", "_")}["{tier}"]', "        direction LR"]
        lines += [f"        {name}" for name in names if name in arrows]
        lines += ["    end"]
    for here, targets in sorted(arrows.items()):
        between = [other for other in targets if here not in arrows[other]]
        together = {there for other in between for there in arrows[other]}
        lines += [f"    {here} --> {there}" for there in sorted(targets - together)]
    return "\n".join([*lines, "```"])


def _wings(modules: Mapping[str, Module]) -> Iterator[str]:
    """The wings of data/: what they may import of each other, and what they do."""
    data = {name: module for name, module in modules.items() if room(name) == "data"}
    arrows = _arrows(data, 2)
    yield "## The wings of data/"
    rows = []
    for wing, allowed in WINGS.items():
        read = {there.partition("/")[2] for there in arrows[f"data/{wing}"]} & WINGS.keys()
        rows.append(
            (wing, modules[f"{PACKAGE}.data.{wing}"].purpose, _listed(read), _listed(allowed))
        )
    yield _table(("wing", "what it is", "imports", "may import"), rows)


def _rooms(modules: Mapping[str, Module]) -> Iterator[str]:
    """Every module, by its package, with its purpose and its imports."""
    yield "## Every room"
    folders: dict[str, list[Module]] = {}
    for module in modules.values():
        folders.setdefault(module.path.rpartition("/")[0], []).append(module)
    for folder, inside in sorted(folders.items()):
        yield f"### {folder}"
        yield from (module.purpose for module in inside if module.path.endswith("__init__.py"))
        rows = [
            (f"[`{Path(path).stem}`](../{path})", purpose, _listed(map(_short, imports)))
            for path, purpose, imports, _ in inside
            if imports or not path.endswith("__init__.py")
        ]
        if rows:
            yield _table(("room", "what it is", "imports"), rows)


def _short(name: str) -> str:
    return name.removeprefix(f"{PACKAGE}.")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "—"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(
        f"| {' | '.join(cell.replace('|', '&#124;') for cell in line)} |" for line in lines
    )


def with_part(page: str, part: str) -> str:
    """The page with `part` between its two markers. Raises ValueError where it lacks one."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{PAGE} lacks one of its markers: {BEGIN!r}, {END!r}")
    return f"{before}{BEGIN}\n\n{part}\n\n{END}{after}"


def main(arguments: Sequence[str]) -> int:
    """Write the page, or with --check say what is wrong; the exit status."""
    root = Path(__file__).resolve().parents[1]
    modules = read_tree(root)
    page = root / PAGE
    text = page.read_text()
    drawn = with_part(text, page_part(modules))
    if list(arguments) != ["--check"]:
        page.write_text(drawn)
        return 0
    found = problems(modules)
    if drawn != text:
        found.append(f"{PAGE} is stale: python tools/architecture.py writes it")
    print("\n".join(found) or "the imports keep their order, and the page shows them")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
