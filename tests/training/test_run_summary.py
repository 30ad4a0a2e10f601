"""What a run says of its data before the first step."""

import io

import numpy as np
import pytest
from rich.console import Console

from tests.conftest import write_toy
from vmr_jax.configs import prem_localizer
from vmr_jax.datasets import training_domains
from vmr_jax.training.run_summary import print_run_summary


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("overview")
    write_toy(folder, "toy")
    return folder


def overview(data_dir, **changes):
    """What is said of a localizer's data, and the number of clips of each moment less one."""
    config = prem_localizer.get_config("toy")
    settings = {"data_dir": str(data_dir), "target.features": "features", "clip_seconds": 2.0}
    config.update_from_flattened_dict(settings | changes)
    domains = training_domains(config, ("target",))
    said = io.StringIO()
    print_run_summary(config, domains, 1234, 60, Console(file=said, width=300))
    span = domains["target"].pairs.span
    return said.getvalue().splitlines(), span[:, 1] - span[:, 0]


def test_the_size_of_data_and_run(data_dir):
    lines, _ = overview(data_dir)
    assert lines[0] == "target: toy, 48 pairs over 24 videos, with boundaries, 0 MiB of features"
    assert (
        lines[-1]
        == "prem_localizer: 1,234 parameters, 60 steps of 32 candidates on 1 cpu device, float32"
    )


@pytest.mark.parametrize("max_l", [3, 5])
def test_moments_that_are_too_long_are_counted(data_dir, max_l):
    lines, length = overview(data_dir, **{"infer.max_l": max_l})
    assert 0 < np.sum(length > max_l) < len(length)
    assert (
        f"  {np.sum(length > max_l)} moments are longer than the {max_l + 1} clips of "
        f"infer.max_l={max_l} and cannot be found whole: "
        f"--config.infer.max_l={length.max()} reaches the longest"
    ) in lines
    lines, _ = overview(data_dir, **{"infer.max_l": int(length.max())})
    assert not any("infer.max_l" in line for line in lines)


@pytest.mark.parametrize(("modalities", "read"), [(("image",), False), (("image", "sub"), True)])
def test_subtitles_that_are_not_read(data_dir, modalities, read):
    lines, _ = overview(data_dir, **{"target.subtitles": "subtitles", "modalities": modalities})
    said = "  its subtitles are not read by this system with these settings" in lines
    assert said != read


def test_clips_of_another_length_and_cut_videos(data_dir):
    lines, _ = overview(data_dir, clip_seconds=9.0, **{"target.max_clips": 8})
    assert any("but clip_seconds is 9, so that moments come to lie on other" in x for x in lines)
    assert any("videos are longer than max_clips=8: their last clips are left" in x for x in lines)
