"""Speech to text, by faster-whisper."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from vmr_jax.speech.embedded import read_sound
from vmr_jax.speech.utterances import Read, ordered

_PAUSE = 0.5  # seconds


def open_speech_model(model: str) -> Any:
    """Open Whisper by a name of faster-whisper ("small"), or from a folder as CTranslate2 has it.

    A name is fetched once into Hugging Face's cache. Raises ValueError where the extra is missing,
    or the model is neither here nor can be fetched.
    """
    try:
        from faster_whisper import WhisperModel  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ValueError(
            f"speech is read by faster-whisper ({error}); install it with: "
            "pip install 'vmr_jax[speech]'"
        ) from error
    try:
        return WhisperModel(model, compute_type="auto")  # of the fastest numbers here
    except Exception as error:  # of a hub, a reader or an unknown name
        reason = " ".join(str(error).split())[:120]
        raise ValueError(
            f"speech model {model!r} cannot be opened ({reason}); give a name of faster-whisper, "
            "such as small, which is fetched once, or a folder with its model.bin"
        ) from error


def transcribe(path: Path, model: Any) -> Read:
    """What is said in a video file, heard by a model of `open_speech_model`.

    Raises FileNotFoundError, and ValueError where the file is no video or cannot be heard.
    """
    sound = read_sound(path)
    if not len(sound):
        return Read((), (f"{path} has no sound to hear speech in",))
    try:
        segments, _ = model.transcribe(sound, vad_filter=True, word_timestamps=True)
        lines = [line for segment in segments for line in _lines(segment.words)]
    except Exception as error:  # of CTranslate2 or ONNX Runtime
        raise ValueError(f"{path}: its speech cannot be read ({error})") from error
    return ordered(lines, str(path))


def _lines(words: Sequence[Any]) -> Iterator[tuple[float, float, str]]:
    """A segment's words, apart where a pause is: Whisper's segments go on over silence."""
    first = 0
    for last in range(1, len(words) + 1):
        if last == len(words) or words[last].start - words[last - 1].end > _PAUSE:
            text = "".join(word.word for word in words[first:last])
            yield float(words[first].start), float(words[last - 1].end), " ".join(text.split())
            first = last
