"""Tables that do not fit the device."""

from types import SimpleNamespace

import numpy as np
import pytest

from vmr_jax.data.batches import data_paths
from vmr_jax.data.batches.pairs import VideoFeatures
from vmr_jax.training.mesh import make_mesh


def test_features_beyond_the_device_memory_are_refused(monkeypatch):
    mesh = make_mesh()
    stats = {"bytes_limit": 3 * 2**30, "bytes_in_use": 2**30}
    device = SimpleNamespace(memory_stats=lambda: stats)
    monkeypatch.setattr(data_paths.jax, "local_devices", lambda: [device])
    domain = SimpleNamespace(
        video_row=np.zeros(2**14, np.int32),
        blank=lambda count: VideoFeatures(np.zeros((count, 128, 1024), np.float16)),
        pairs=(np.zeros(2**28, np.float32),),
        dataset=SimpleNamespace(name="toy"),
    )
    message = (
        "the features of toy need 5.0 GiB on the device, which has 2.0 GiB free: use "
        "--config.data.residency=host, or a smaller max_clips or patch_frames"
    )
    with pytest.raises(MemoryError, match=message):
        data_paths.load_tables(domain, mesh)
