import errno
import os
import signal
import threading

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import PartitionSpec

from vmr_jax.training import mesh as meshes

STATE = {"encoder": {"kernel": jax.ShapeDtypeStruct((8, 6), jnp.float32)}, "step": jnp.zeros(())}


def spec(rules):
    placed = meshes.state_shardings(STATE, meshes.make_mesh(), rules)
    return placed["encoder"]["kernel"].spec


def test_the_first_matching_rule_places_a_leaf():
    assert spec(()) == PartitionSpec()
    assert spec((("encoder/kernel", ("data", None)),)) == PartitionSpec("data", None)
    assert spec((("kernel", (None, "data")), ("encoder", ("data", None)))) == PartitionSpec(
        None, "data"
    )


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        (("data",), "names 1 axes, but encoder/kernel has shape"),
        (("data", "data"), "at most once"),
        (("model", None), "must use each mesh axis"),
    ],
)
def test_a_rule_that_does_not_fit(axes, message):
    with pytest.raises(ValueError, match=message):
        spec((("kernel", axes),))


def test_batch_size_must_divide(monkeypatch):
    monkeypatch.setattr(jax, "device_count", lambda: 8)
    with pytest.raises(ValueError, match=r"batch_size 60 is not a multiple of the 8.*64"):
        meshes.check_batch_size(60, "batch_size")
    meshes.check_batch_size(64, "batch_size")


def test_a_process_reads_its_share(monkeypatch):
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    monkeypatch.setattr(jax, "process_index", lambda: 1)
    assert meshes.local_rows(jnp.arange(8)).tolist() == [4, 5, 6, 7]
    assert meshes.local_rows(jnp.arange(8).reshape(4, 2)).tolist() == [[4, 5], [6, 7]]


@pytest.fixture
def initialized(monkeypatch):
    """The arguments that jax.distributed.initialize was called with, outside of any cluster."""
    for name in ("SLURM_STEP_NUM_TASKS", "SLURM_NTASKS", "TPU_WORKER_HOSTNAMES"):
        monkeypatch.delenv(name, raising=False)
    calls = []
    monkeypatch.setattr(jax.distributed, "initialize", lambda *a: calls.append(a))
    return calls


def test_one_process_starts_nothing(initialized, monkeypatch):
    meshes.start_processes("", 1, 0)
    monkeypatch.setenv("SLURM_NTASKS", "4")  # of the batch script, outside of srun
    monkeypatch.setenv("TPU_WORKER_HOSTNAMES", "localhost")
    meshes.start_processes("", 1, 0)
    assert initialized == []


@pytest.mark.parametrize(
    ("name", "value"), [("SLURM_STEP_NUM_TASKS", "4"), ("TPU_WORKER_HOSTNAMES", "eva-0,eva-1")]
)
def test_a_cluster_is_detected(initialized, monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    meshes.start_processes("", 1, 0)
    assert initialized == [()]


def test_explicit_processes_win(initialized, monkeypatch):
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "4")
    meshes.start_processes("127.0.0.1:1234", 2, 1)
    meshes.start_processes("", 0, 0)
    assert initialized == [("127.0.0.1:1234", 2, 1), ()]


def test_arguments_that_do_not_fit_are_refused(initialized):
    with pytest.raises(ValueError, match="needs --coordinator=HOST:PORT"):
        meshes.start_processes("", 2, 0)
    with pytest.raises(ValueError, match=r"--process_id 2 is not in 0 \.\.\. 1"):
        meshes.start_processes("127.0.0.1:1234", 2, 2)
    assert initialized == []


@pytest.fixture
def heard():
    """Python's own handlers: what starts the tests may have the signals ignored."""
    usual = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    before = {number: signal.signal(number, handler) for number, handler in usual.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_heard_and_its_handler_set_back(number, heard):
    before = signal.getsignal(number)
    with meshes.StopRequest() as stop:
        assert not stop.wanted()
        os.kill(os.getpid(), number)
        assert stop.wanted() and stop.wanted()
    assert signal.getsignal(number) is before


def test_a_second_interrupt_does_not_wait(heard):
    with pytest.raises(KeyboardInterrupt), meshes.StopRequest() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.wanted()
        os.kill(os.getpid(), signal.SIGINT)


def test_another_thread_gets_no_signals():
    asked = []

    def ask():
        with meshes.StopRequest() as stop:
            asked.append(stop.wanted())

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    assert asked == [False]


@pytest.fixture
def settings(monkeypatch):
    """The settings of JAX that are set, which stay as they are."""
    found = {}
    monkeypatch.setattr(meshes.jax.config, "update", found.__setitem__)
    return found


def test_without_a_home_nothing_is_cached_and_it_is_said(monkeypatch, capsys, settings):
    def no_home(_):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(meshes.Path, "expanduser", no_home)
    meshes.keep_compilations()
    assert capsys.readouterr().err.startswith("no home directory: programs are compiled anew")
    assert settings == {"jax_compilation_cache_dir": None}


@pytest.mark.parametrize("lacking", ["permission", "space"])
def test_a_cache_that_cannot_be_written_is_not_used(
    monkeypatch, capsys, settings, tmp_path, lacking
):
    def fail(**_):
        number = errno.EROFS if lacking == "permission" else errno.ENOSPC
        raise OSError(number, os.strerror(number))

    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "cache"))
    meshes.keep_compilations()
    assert settings["jax_compilation_cache_dir"] == str(tmp_path / "cache")
    assert not list((tmp_path / "cache").iterdir()) and not capsys.readouterr().err
    monkeypatch.setattr(meshes.tempfile, "TemporaryFile", fail)
    meshes.keep_compilations()
    reason = {"permission": "Read-only file system", "space": "No space left on device"}[lacking]
    assert capsys.readouterr().err == (
        f"{tmp_path}/cache cannot be written ({reason}): programs are compiled anew, "
        "JAX_COMPILATION_CACHE_DIR=DIR keeps them\n"
    )
    assert settings["jax_compilation_cache_dir"] is None
