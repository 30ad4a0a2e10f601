"""A contact sheet: one picture of all results, a frame of each with its rank, times and score."""

from collections.abc import Sequence
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vmr_jax.export.results import Result, clock, ranked
from vmr_jax.output_files import whole_path
from vmr_jax.video.decode import sample_frames
from vmr_jax.video.sampling import Sampling

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

MOST = 100  # results on a sheet
_COLUMNS = 4
_PICTURE = (320, 180)  # pixels
_LINE = 20  # pixels of a line of text
_MARGIN = 8
_PAPER, _INK, _FAINT, _EMPTY = "#ffffff", "#1a1a1a", "#666666", "#d9d9d9"
_SUFFIXES = (".png", ".jpg", ".jpeg")


def write_contact_sheet(out: str | Path, results: Sequence[Result]) -> list[str]:
    """Write the first MOST results as one PNG or JPEG, by the suffix; returns notes.

    The frame is the one in the middle of a moment. Where it cannot be read a grey field stands for
    it, and a note says why. Raises ValueError where there are no results, for another suffix and
    where Pillow is missing, and OSError.
    """
    check_sheet(out)
    if not results:
        raise ValueError(f"{out}: there are no results to show")
    pillow, font = _import_pillow()
    shown = list(ranked(results))[:MOST]
    columns = min(_COLUMNS, len(shown))
    width, height = _PICTURE[0] + _MARGIN, _PICTURE[1] + 2 * _LINE + _MARGIN
    size = columns * width + _MARGIN, ceil(len(shown) / columns) * height + _MARGIN
    sheet = pillow.Image.new("RGB", size, _PAPER)
    draw = pillow.ImageDraw.Draw(sheet)
    notes = [f"{out}: the first {MOST} of {len(results)} results"] if len(results) > MOST else []
    for place, (rank, result) in enumerate(shown):
        row, column = divmod(place, columns)
        left, top = _MARGIN + column * width, _MARGIN + row * height
        try:
            picture = pillow.Image.fromarray(middle_frame(result))
            sheet.paste(pillow.ImageOps.pad(picture, _PICTURE), (left, top))
        except (ValueError, OSError) as error:
            sheet.paste(_EMPTY, (left, top, left + _PICTURE[0], top + _PICTURE[1]))
            notes.append(f"{out}: no picture of result {rank}: {error}")
        times = f"{rank}  {clock(result.start_s)} - {clock(result.end_s)}  {result.score:.3g}"
        _write(draw, (left, top + _PICTURE[1]), times, font, _INK)
        _write(draw, (left, top + _PICTURE[1] + _LINE), result.video, font, _FAINT)
    with whole_path(out) as draft:
        sheet.save(draft)
    return notes


def check_sheet(out: str | Path) -> None:
    """Raise ValueError for a file that is not named as a picture, and without Pillow."""
    if Path(out).suffix.lower() not in _SUFFIXES:
        raise ValueError(f"{out}: a contact sheet is a picture; name it {' or '.join(_SUFFIXES)}")
    _import_pillow()


def middle_frame(result: Result) -> Any:
    """The frame (height, width, 3) in the middle of a moment, uint8. Raises as `sample_frames`."""
    middle = (result.start_s + result.end_s) / 2
    return next(sample_frames(result.path, Sampling(times=(middle,)))).image


def _import_pillow() -> tuple[Any, Any]:
    """Pillow, and a font of many scripts, which matplotlib brings."""
    try:
        import PIL.ImageDraw
        import PIL.ImageFont
        import PIL.ImageOps
    except ImportError as error:
        raise ValueError(
            f"pictures are made by Pillow ({error}); install it with: pip install 'vmr_jax[video]'"
        ) from error
    from matplotlib import get_data_path

    font = Path(get_data_path()) / "fonts/ttf/DejaVuSans.ttf"
    return PIL, PIL.ImageFont.truetype(str(font), 14)


def _write(draw: "ImageDraw", place: tuple[int, int], text: str, font: Any, colour: str) -> None:
    """Write a line as far as it fits below a picture."""
    while text and draw.textlength(text, font) > _PICTURE[0]:
        text = text[:-2].rstrip("…") + "…"
    draw.text((place[0], place[1] + 1), text, colour, font)
