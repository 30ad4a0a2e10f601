import os
import pickle
import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from vmr_jax.weights.fitting import Source, fit_tensors, linear, norm
from vmr_jax.weights.tensors import read_tensors


def _archive(path, content, storages=(), **extra):
    """A zip archive as torch.save writes it, around a pickle."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", content)
        for key, array in enumerate(storages):
            archive.writestr(f"archive/data/{key}", np.asarray(array).tobytes())
        for name, value in extra.items():
            archive.writestr(f"archive/{name}", value)
    return path


def _tensor(size, stride, offset=0, storage="FloatStorage", key=0, numel=6):
    """Pickle code of one tensor, as torch.save writes it."""
    marked = ["".join(f"I{n}\n" for n in numbers) for numbers in (size, stride)]
    return (
        f"ctorch._utils\n_rebuild_tensor_v2\n((Vstorage\nctorch\n{storage}\nV{key}\nVcpu\n"
        f"I{numel}\ntQI{offset}\n({marked[0]}t({marked[1]}tI00\nccollections\nOrderedDict\n(tRtR"
    )


def _before_1_6(path, content, storages, keys=None, system=None, magic=0x1950A86A20F9469CFC6C):
    """A file as torch.save wrote it before version 1.6, around a pickle."""
    keys = [str(key) for key in range(len(storages))] if keys is None else keys
    system = {"protocol_version": 1001, "little_endian": True} if system is None else system
    parts = [pickle.dumps(value, 2) for value in (magic, 1001, system)]
    parts += [content.replace(b"tQI", b"NtQI"), pickle.dumps(keys, 2)]  # with its view, None
    for storage in storages:
        parts += [len(storage).to_bytes(8, "little"), storage.tobytes()]
    path.write_bytes(b"".join(parts))
    return path


def _state(**tensors):
    return ("(d" + "".join(f"V{name}\n{code}s" for name, code in tensors.items()) + ".").encode()


class _Command:
    def __reduce__(self):
        return os.system, ("echo from the pickle > pwned",)


def test_an_archive_of_tensors(tmp_path):
    numbers = np.arange(6, dtype=np.float32)
    half = np.array([1.5, -2], np.float16)
    content = _state(
        rows=_tensor((2, 3), (3, 1)),
        columns=_tensor((3, 2), (1, 3)),
        part=_tensor((2,), (1,), offset=4),
        scalar=_tensor((), (), offset=3),
        half=_tensor((2,), (1,), storage="HalfStorage", key=1, numel=2),
    )
    tensors = read_tensors(_archive(tmp_path / "a.bin", content, [numbers, half]))
    expected = {
        "rows": numbers.reshape(2, 3),
        "columns": numbers.reshape(2, 3).T,
        "part": numbers[4:],
        "scalar": numbers[3],
        "half": half,
    }
    assert tensors.keys() == expected.keys()
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(tensor, expected[name], strict=True)


def test_a_script_module_is_its_attributes(tmp_path):
    inner = f"c__torch__.torch.nn\nLinear\n)\x81(dVweight\n{_tensor((6,), (1,))}sVtraining\nI01\nsb"
    content = f"\x80\x02c__torch__\nModel\n)\x81(dV0\n{inner}sVsizes\n"
    content += "ctorch.jit._pickle\nbuild_intlist\n((lI2\natRsb."
    path = _archive(tmp_path / "a.pt", content.encode("latin1"), [np.ones(6, np.float32)])
    tensors = read_tensors(path)
    assert list(tensors) == ["0.weight"]
    np.testing.assert_array_equal(tensors["0.weight"], np.ones(6, np.float32))


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (pickle.dumps({"weight": _Command()}), r"(posix|nt)\.system"),
        (b"cbuiltins\neval\n(V1 + 1\ntR.", r"builtins\.eval"),
        (b"ctorch.hub\nload\n(Vrepository\ntR.", r"torch\.hub\.load"),
        (b"\x80\x04\x8c\x05torch\x8c\x0cos.path.join\x93.", r"torch\.os\.path\.join"),
    ],
)
def test_a_pickle_that_asks_for_more_than_tensors_is_refused_by_name(
    content, name, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    path = _archive(tmp_path / "evil.bin", content)
    with pytest.raises(ValueError, match=f"evil.bin: refused .* pickle asks for {name}, which"):
        read_tensors(path)
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize(
    "code",
    [
        _tensor((2, 3), (3, 1), offset=1),
        _tensor((2, 3), (4, 1)),
        _tensor((2,), (-1,), offset=3),
        _tensor((2,), (1,), offset=-1),
        _tensor((1 << 62,), (0,), offset=6),
    ],
)
def test_tensors_beyond_their_storage_are_refused(code, tmp_path):
    path = _archive(tmp_path / "a.bin", _state(x=code), [np.zeros(6, np.float32)])
    with pytest.raises(ValueError, match="a tensor reaches beyond its storage"):
        read_tensors(path)


def test_files_that_are_not_read(tmp_path):
    with pytest.raises(FileNotFoundError, match="no weights at .*none"):
        read_tensors(tmp_path / "none")
    bare = tmp_path / "bare.bin"
    bare.write_bytes(pickle.dumps({"weight": _Command()}))
    with pytest.raises(ValueError, match=r"bare.bin: refused .* asks for \w+\.system, which"):
        read_tensors(bare)
    for name, content in (("text", b"weights"), ("short", b""), ("zip", b"PK\x03\x04 cut")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=f"{name}: refused to read it: "):
            read_tensors(tmp_path / name)
    state, storage = _state(x=_tensor((6,), (1,))), np.zeros(6, np.float32)
    for archive, problem in (
        (_archive(tmp_path / "b", state, [storage[:5]]), "refused to read it"),
        (_archive(tmp_path / "c", state), "no item named 'archive/data/0'"),
        (_archive(tmp_path / "d", state, [storage], byteorder="big"), "not little-endian"),
        (_archive(tmp_path / "e", b"}."), "holds no tensors"),
    ):
        with pytest.raises(ValueError, match=problem):
            read_tensors(archive)
    with zipfile.ZipFile(tmp_path / "a", "w") as archive:
        archive.writestr("notes.txt", "")
    with pytest.raises(ValueError, match="expected one <folder>/data.pkl"):
        read_tensors(tmp_path / "a")


def test_a_file_of_before_pytorch_1_6(tmp_path):
    numbers, half = np.arange(6, dtype=np.float32), np.array([1.5, -2], np.float16)
    content = _state(
        columns=_tensor((3, 2), (1, 3)),
        part=_tensor((2,), (1,), offset=4),
        half=_tensor((2,), (1,), storage="HalfStorage", key=1, numel=2),
    )
    tensors = read_tensors(_before_1_6(tmp_path / "a.pth", content, [numbers, half]))
    assert list(tensors) == ["columns", "part", "half"]
    np.testing.assert_array_equal(tensors["columns"], numbers.reshape(2, 3).T, strict=True)
    np.testing.assert_array_equal(tensors["part"], numbers[4:], strict=True)
    np.testing.assert_array_equal(tensors["half"], half, strict=True)
    huge = _state(x=_tensor((6,), (1,), numel=1 << 40))
    for file, problem in (
        (_before_1_6(tmp_path / "b", content, [numbers[:5], half]), "has not the 6 elements"),
        (_before_1_6(tmp_path / "c", huge, [numbers]), "storages are larger than the file"),
        (_before_1_6(tmp_path / "d", content, [numbers], ["7"]), "refused to read it: '7'"),
        (_before_1_6(tmp_path / "e", content, [], system={}), "not little-endian"),
    ):
        with pytest.raises(ValueError, match=problem):
            read_tensors(file)


def test_a_pickle_of_arrays_in_dicts(tmp_path):
    path, rows = tmp_path / "a.ckpt", np.arange(6, dtype=np.float32).reshape(2, 3)
    path.write_bytes(pickle.dumps({"params": {"Logits/Conv": {"kernel": rows}}, "steps": 3}))
    tensors = read_tensors(path)
    assert list(tensors) == ["params.Logits/Conv.kernel"]
    np.testing.assert_array_equal(tensors["params.Logits/Conv.kernel"], rows, strict=True)


@pytest.mark.parametrize("length", [0x80, 0x4B50])
def test_safetensors_are_known_by_their_header(length, tmp_path):
    """The header's length comes first, and may look like another format's first bytes."""
    path = tmp_path / "model.safetensors"
    tensors = {"x": np.arange(3, dtype=np.float32), "half": np.ones(2, jnp.bfloat16)}
    safetensors.numpy.save_file(tensors, path)
    size = int.from_bytes(path.read_bytes()[:8], "little")
    header, data = path.read_bytes()[8 : 8 + size], path.read_bytes()[8 + size :]
    path.write_bytes(max(length, size).to_bytes(8, "little") + header.ljust(length) + data)
    for name, tensor in read_tensors(path).items():
        np.testing.assert_array_equal(tensor, tensors[name], strict=True)


def _shape(*sizes):
    return jax.ShapeDtypeStruct(sizes, jnp.float32)


SHAPES = {
    "layers": {
        "qkv": {"kernel": _shape(2, 3, 8), "bias": _shape(2, 8)},
        "norm": {"scale": _shape(2, 3), "bias": _shape(2, 3)},
    },
    "patch": _shape(5, 6, 3, 4),
}
SOURCES = {
    "layers": {"qkv": linear("l.{}.q", "l.{}.k"), "norm": norm("l.{}.ln")},
    "patch": Source("conv", axes=(2, 3, 1, 0)),
}


def _file_tensors():
    rng = np.random.default_rng(0)
    shapes = {"conv": (4, 3, 5, 6)}
    for i in range(2):
        shapes |= {f"l.{i}.{x}.weight": (4, 3) for x in "qk"}
        shapes |= {f"l.{i}.{x}.bias": (4,) for x in "qk"}
        shapes |= {f"l.{i}.ln.weight": (3,), f"l.{i}.ln.bias": (3,)}
    return {name: rng.normal(size=shape).astype(np.float16) for name, shape in shapes.items()}


def test_tensors_fill_the_tree():
    tensors = _file_tensors()
    tensors["position_ids"] = np.arange(3)
    params = fit_tensors(tensors, SOURCES, SHAPES, "position_ids", "file")
    assert jax.tree.map(lambda x: (x.shape, x.dtype), params) == jax.tree.map(
        lambda x: (x.shape, x.dtype), SHAPES
    )
    x = np.ones(3, np.float32)
    for i in range(2):
        ours = x @ params["layers"]["qkv"]["kernel"][i] + params["layers"]["qkv"]["bias"][i]
        theirs = [tensors[f"l.{i}.{n}.weight"] @ x + tensors[f"l.{i}.{n}.bias"] for n in "qk"]
        np.testing.assert_allclose(ours, np.concatenate(theirs), rtol=1e-3)
    assert params["patch"][1, 2, 0, 3] == tensors["conv"][3, 0, 1, 2]


def test_every_tensor_that_does_not_fit_is_listed():
    tensors = _file_tensors()
    del tensors["l.0.q.weight"], tensors["l.1.ln.bias"]
    tensors |= {"conv": np.zeros((4, 3, 6, 5)), "l.2.ln.bias": np.zeros(3), "head": np.zeros(1)}
    tensors["l.0.k.bias"] = np.zeros(4, np.int64)
    with pytest.raises(ValueError) as raised:
        fit_tensors(tensors, SOURCES, SHAPES, "logit_scale", "model.bin")
    first, *lines = str(raised.value).splitlines()
    assert first == "model.bin does not fit this encoder; is it the right model?"
    assert sorted(line.strip() for line in lines) == [
        "extra: head",
        "extra: l.2.ln.bias",
        "misshapen: conv is (4, 3, 6, 5), expected (4, 3, 5, 6)",
        "misshapen: l.0.k.bias holds int64, expected floats",
        "missing: l.0.q.weight",
        "missing: l.1.ln.bias",
    ]
