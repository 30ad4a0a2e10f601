"""`python -m tests.training.interrupted_run SIGNAL MOMENT ARGUMENTS`: a run that gets a signal.

It is `vmr_jax.main` with ARGUMENTS. MOMENT is "before the steps", "amid a save", or a number: when
the metrics of that step are written.
"""

import os
import sys
from pathlib import Path

from vmr_jax import main
from vmr_jax.training import logs, run


def before_the_steps(send) -> None:
    """When the workdir holds the config and nothing else."""
    claim = run.claim_workdir

    def claimed(*arguments):
        claim(*arguments)
        send()

    run.claim_workdir = claimed


def amid_a_save(send) -> None:
    """When a part of a checkpoint is there, beside a whole one."""
    rename = os.rename

    def renamed(source, target):
        rename(source, target)
        checkpoints = Path(target).parents[1]
        if any(child.name.isdigit() for child in checkpoints.iterdir()):
            send()

    os.rename = renamed


def at_step(step: int, send) -> None:
    """When the metrics of `step` are written."""
    write = logs.RunLog.write

    def written(self, at, metrics):
        write(self, at, metrics)
        if at == step:
            send()

    logs.RunLog.write = written


if __name__ == "__main__":
    number, moment, *arguments = sys.argv[1:]
    moments = {"before the steps": before_the_steps, "amid a save": amid_a_save}
    arrange = moments.get(moment) or (lambda send: at_step(int(moment), send))
    arrange(lambda: os.kill(os.getpid(), int(number)))
    main.start(["vmr_jax.main", *arguments])
