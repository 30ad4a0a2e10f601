"""Command lines of `vmr` and of `vmr_jax.main`, run in this process."""

import sys

import pytest
from absl.flags import FLAGS
from typer.testing import CliRunner

from vmr_jax import cli, main


def forget_flags():
    """Set the flags of `vmr_jax.main` back, and drop those of the keys of a config."""
    for flag in FLAGS.flags_by_module_dict()[main.__name__]:
        flag.unparse()
    for name in [name for name in FLAGS if name.startswith("config.")]:
        delattr(FLAGS, name)


def vmr(*arguments):
    """The result of `vmr ARGUMENTS`, for a terminal of 300 columns."""
    forget_flags()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", sys.argv)  # main.start sets it
        patch.setenv("COLUMNS", "300")
        return CliRunner().invoke(cli.app, [str(argument) for argument in arguments])


def status_of_main(*arguments):
    """The exit status of `python -m vmr_jax.main ARGUMENTS`."""
    forget_flags()
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as end:
        patch.setattr(sys, "argv", sys.argv)
        main.start(["vmr_jax.main", *map(str, arguments)])
    return end.value.code
