import zipfile

import pytest

from vmr_jax.input_files import check_archive
from vmr_jax.weights.tensors import read_tensors


def test_an_archive_that_unpacks_to_far_more_than_it_is_is_refused(tmp_path):
    bomb = tmp_path / "weights.bin"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model/data.pkl", b"}.")
        archive.writestr("model/data/0", bytes(80 * 2**20))
    with pytest.raises(ValueError, match="more than 100 times as many are refused"):
        read_tensors(bomb)
    with zipfile.ZipFile(bomb) as archive:
        assert bomb.stat().st_size < 2**20
        with pytest.raises(ValueError, match="would unpack to 83,886,082"):
            check_archive(archive, bomb)
