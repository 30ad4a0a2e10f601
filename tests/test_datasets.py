"""A config's datasets."""

import re

import pytest
from ml_collections import ConfigDict

from vmr_jax.datasets import open_dataset


@pytest.mark.parametrize(
    ("name", "other"),
    [("simulated_target", "simulated_patches"), ("simulated_corpus", "simulated_subtitles")],
)
def test_simulated_data_are_not_to_be_prepared(tmp_path, name, other):
    message = (
        f"{name} has no features 'f'. It is simulated: a run whose config names it makes it, with "
        f"'simulated' and '{other}' and nothing else"
    )
    with pytest.raises(FileNotFoundError, match=f"^{re.escape(message)}$"):
        open_dataset(ConfigDict({"dataset": name, "features": "f"}), tmp_path)
    assert not any(tmp_path.iterdir())
