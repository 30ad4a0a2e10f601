"""Train or evaluate: python -m vmr_jax.main --config=configs/eva.py, the same as vmr train eva."""

import os
import sys
import time
from pathlib import Path
from typing import NoReturn

from absl import app, flags, logging
from ml_collections import config_flags

from vmr_jax.config_files import config_file

MISTAKES = (ValueError, OSError, MemoryError, ArithmeticError)  # end in a line, see VMR_DEBUG

_CONFIG = config_flags.DEFINE_config_file(
    "config",
    None,
    "NAME or FILE.py[:ARGUMENT]; any key of it is a flag, e.g. --config.batch_size=32",
)
_WORKDIR = flags.DEFINE_string(
    "workdir", "", "where the run writes; the same workdir resumes (runs/<config>-<time>)"
)
_MODE = flags.DEFINE_enum("mode", "train", ("train", "eval"), "train, or evaluate a checkpoint")
_RESTORE = flags.DEFINE_string(
    "restore", "", "a workdir or checkpoints directory whose parameters to start from or evaluate"
)
_PART = flags.DEFINE_enum(
    "eval-query",
    "",
    ("", "full", "static", "dynamic"),
    "the part of each query that an evaluation asks; the same as --config.eval.query",
)
_COORDINATOR = flags.DEFINE_string("coordinator", "", "host:port of process 0, for many processes")
_PROCESSES = flags.DEFINE_integer(
    "num_processes", 1, "processes of this run; 0 = ask the cluster (Cloud TPU pod)"
)
_PROCESS = flags.DEFINE_integer("process_id", 0, "which of them this is")
_CPU_DEVICES = flags.DEFINE_integer("cpu_devices", 0, "simulate this many devices on the CPU")


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"unknown argument {argv[1]!r}; settings are flags, see --help")
    import jax

    from vmr_jax.training.logs import make_console
    from vmr_jax.training.mesh import keep_compilations, start_processes

    if _CPU_DEVICES.value:
        jax.config.update("jax_platforms", "cpu")
        jax.config.update("jax_num_cpu_devices", _CPU_DEVICES.value)
    keep_compilations()
    if not flags.FLAGS["verbosity"].present:
        logging.set_verbosity(logging.WARNING)  # Orbax tells much
    try:
        start_processes(_COORDINATOR.value, _PROCESSES.value, _PROCESS.value)
        _run(make_console())
    except MISTAKES as error:
        _end_in_a_line(error, str(error))
    except KeyboardInterrupt:
        print(
            "interrupted: the same command goes on from the last checkpoint, if there is one",
            file=sys.stderr,
        )
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(130)  # threads of the compiler would crash Python's own end


def start(argv: list[str]) -> None:
    """Run the command line `argv`, whose first entry is the program's name, and end the process."""
    sys.argv = argv  # where a config's keys are looked for among the flags
    app.run(main, argv, flags_parser=parse_flags)


def parse_flags(argv: list[str]) -> list[str]:
    """Set the flags and return what is none; a mistake in them ends in one line."""
    try:
        return flags.FLAGS(_last_of_each(_with_files(argv)))
    except flags.Error as error:
        cause = error
        while "\n" in str(cause) and cause.__context__:  # a stack trace of the config file
            cause = cause.__context__
        _end_in_a_line(error, f"{cause} (--help lists the flags)")
    except (AttributeError, KeyError) as error:  # of a key, or of the block that it is in
        _end_in_a_line(error, f"--config.KEY=VALUE with an unknown key: {_text(error)}")
    except MISTAKES as error:
        _end_in_a_line(error, str(error))


def _with_files(argv: list[str]) -> list[str]:
    """`--config=NAME[:ARGUMENT]`, or the same as two words, with the file that the name means."""
    found = list(argv)
    for place, argument in enumerate(argv):
        flag, equals, config = argument.partition("=")
        if flag in ("--config", "-config") and equals:
            found[place] = f"{flag}={_with_file(config)}"
        elif argument in ("--config", "-config") and place + 1 < len(argv):
            found[place + 1] = _with_file(argv[place + 1])
    return found


def _last_of_each(argv: list[str]) -> list[str]:
    """Of several --config.KEY=VALUE of one key the last: those of tuples would be joined."""
    kept = {}
    for place, argument in enumerate(argv):
        flag, equals, _ = argument.partition("=")
        is_key = equals and flag.lstrip("-").startswith("config.")
        kept[flag.lstrip("-") if is_key else place] = argument
    return list(kept.values())


def _with_file(config: str) -> str:
    """NAME[:ARGUMENT] -> FILE[:ARGUMENT]."""
    name, colon, argument = config.partition(":")
    return f"{config_file(name)}{colon}{argument}"


def _text(error: Exception) -> str:
    """The message of an error, in one line, without the quotes of the errors around it."""
    inner = error.args[0] if error.args else ""
    return _text(inner) if isinstance(inner, Exception) else ". ".join(str(inner).split("\n"))


def _end_in_a_line(error: Exception, message: str) -> NoReturn:
    if os.environ.get("VMR_DEBUG"):
        raise error
    print(f"error: {message}", file=sys.stderr)
    sys.exit(1)


def _run(console) -> None:
    if _MODE.value == "eval":
        from vmr_jax.evaluation.evaluate import evaluate_checkpoint

        if not (_RESTORE.value or _WORKDIR.value):
            raise ValueError("--mode=eval needs --restore or --workdir: which checkpoint?")
        given = config_flags.get_override_values(flags.FLAGS["config"]) if _CONFIG.value else ()
        evaluate_checkpoint(
            _CONFIG.value, _WORKDIR.value, _RESTORE.value, console, _PART.value, given
        )
        return
    import jax

    from vmr_jax.training.loop import train

    if _CONFIG.value is None:
        raise ValueError("--config is missing: try --config=eva; `vmr configs` lists them")
    if jax.process_count() > 1 and not _WORKDIR.value:
        raise ValueError("--workdir is missing: a run of several processes needs one they share")
    if _PART.value:
        with _CONFIG.value.unlocked():
            _CONFIG.value.eval.query = _PART.value
    workdir = Path(_WORKDIR.value or _default_workdir())
    console.print(f"workdir {workdir}")
    if train(_CONFIG.value, workdir, _RESTORE.value, console) is None:
        sys.exit(143)


def _default_workdir() -> str:
    name = Path(config_flags.get_config_filename(flags.FLAGS["config"]).split(":")[0]).stem
    return f"runs/{name}-{time.strftime('%Y%m%d-%H%M%S')}"


if __name__ == "__main__":
    start(sys.argv)
