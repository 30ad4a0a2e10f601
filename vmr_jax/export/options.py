"""The options of commands that find moments, by which the results become files or are played."""

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any

import typer

_PANEL = "What to make of the results"


def _option(*flags: str, default: Any = None, **settings: Any) -> Any:
    """A field that is an option of the command line."""
    option = typer.Option(*flags, rich_help_panel=_PANEL, **settings)
    return field(default=default, metadata={"option": option})


def _file(flag: str, help: str) -> Any:
    return _option(flag, metavar="FILE", help=help)


@dataclass(frozen=True)
class Exports:
    """What to make of the results."""

    cut: Path | None = _option("--cut", metavar="DIR", help="A clip of each, from its key frame.")
    reencode: bool = _option("--reencode", default=False, help="Clips exact to the frame.")
    contact_sheet: Path | None = _file("--contact-sheet", "One picture of all, PNG or JPEG.")
    srt: Path | None = _file("--srt", "Subtitles of the first one's video.")
    edl: Path | None = _file("--edl", "A timeline for editors, CMX 3600.")
    otio: Path | None = _file("--otio", "The same as OpenTimelineIO, extra otio.")
    csv: Path | None = _file("--csv", "A table.")
    jsonl: Path | None = _file("--jsonl", "A line of JSON each.")
    play: int | None = _option("--open", metavar="N", min=1, help="Play the Nth.")

    def any(self) -> bool:
        """Tell whether something is asked for."""
        return any(getattr(self, one.name) not in (None, False) for one in fields(self))

    def check(self) -> None:
        """Find mistakes before anything is searched.

        Raises ValueError and FileNotFoundError for what cannot be fulfilled.
        """
        if self.reencode and not self.cut:
            raise ValueError("--reencode says how to cut: name a folder for the clips with --cut")
        if self.contact_sheet:
            from vmr_jax.export.contact_sheet import check_sheet

            check_sheet(self.contact_sheet)
        if self.otio:
            from vmr_jax.export.timelines import import_otio

            import_otio()
        for file in (self.contact_sheet, self.srt, self.edl, self.otio, self.csv, self.jsonl):
            if file and not file.absolute().parent.is_dir():
                raise FileNotFoundError(f"no folder {file.parent} for {file.name}; make it first")


def with_exports(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of Exports; it gets them, checked, as its argument `exports`."""
    signature = inspect.signature(command, eval_str=True)
    own = [one for one in signature.parameters.values() if one.name != "exports"]
    options = [
        inspect.Parameter(
            one.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=one.default,
            annotation=Annotated[one.type, one.metadata["option"]],
        )
        for one in fields(Exports)
    ]

    @functools.wraps(command)
    def run(*arguments: Any, **named: Any) -> None:
        exports = Exports(**{option.name: named.pop(option.name) for option in options})
        exports.check()
        command(*arguments, exports=exports, **named)

    told: Any = run  # what typer reads
    told.__signature__ = signature.replace(parameters=[*own, *options])
    told.__annotations__ = {one.name: one.annotation for one in (*own, *options)}
    return run
