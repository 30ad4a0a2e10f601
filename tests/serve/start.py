"""`vmr serve INDEX PORT` in a process of its own, with the joint space of tests."""

import sys

import pytest

from tests.video_index.small import known
from vmr_jax import cli

if __name__ == "__main__":
    with pytest.MonkeyPatch.context() as patch:
        known(patch)
        sys.argv[1:] = ["serve", *sys.argv[1:]]
        cli.main()
