"""Frames of many videos share batches of one shape, and each row comes back to its video."""

import math
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest

from tests.extract.tiny import TINY, random_pixels
from vmr_jax.encoders import images
from vmr_jax.extract.batches import Encoded, Waits, encode_videos
from vmr_jax.extract.frames import Piece, Unreadable, Whole
from vmr_jax.extract.origin import Origin

ORIGIN = Origin("a.mp4", 1, 2, "3")


def piece(video, *numbers):
    """Frames of 2 x 2 pixels that carry their numbers, a second each."""
    pixels = np.stack([np.full((2, 2, 3), number, np.uint8) for number in numbers])
    return Piece(video, [float(number) for number in numbers], pixels, math.nan)


def whole(video):
    return Whole(video, math.nan, ORIGIN)


def encode(events, size=4):
    """What comes out of a pretended encoder (the mean, and 1), and the shapes that it saw."""
    shapes = []

    def run(pixels):
        shapes.append(pixels.shape)
        return np.stack([pixels.mean(axis=(1, 2, 3)), np.ones(len(pixels))], axis=1)

    return list(encode_videos(iter(events), run, size, Waits())), shapes


def test_short_videos_share_a_batch_and_long_ones_take_several():
    events = [piece(0, 1), whole(0), piece(1, *range(10, 17)), whole(1), piece(2, 5, 6), whole(2)]
    found, shapes = encode(events)
    assert [result.video for result in found] == [0, 1, 2]
    assert shapes == [(4, 2, 2, 3)] * 3  # 10 frames
    for result, numbers in zip(found, ([1], range(10, 17), [5, 6]), strict=True):
        assert result.seconds == list(map(float, numbers))
        np.testing.assert_array_equal(result.rows, [[number, 1] for number in numbers])


def test_videos_may_come_mixed_and_one_that_fails_leaves_no_rows():
    events = [piece(0, 1, 2), piece(1, 11), piece(2, 21, 22, 23), piece(0, 3), whole(0)]
    events += [Unreadable(2, "damaged", 23.0), piece(1, 12), whole(1)]
    found, shapes = encode(events)
    assert found[0] == Unreadable(2, "damaged", 23.0)
    rows = {r.video: r.rows[:, 0].tolist() for r in found[1:] if isinstance(r, Encoded)}
    assert rows == {0: [1, 2, 3], 1: [11, 12]}
    assert shapes == [(4, 2, 2, 3)] * 2


@pytest.fixture(scope="module")
def encoder():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(images.ENCODERS, "tiny", TINY)
        yield images.open_image_encoder("tiny", None)


def test_rows_do_not_depend_on_what_shares_their_batch(encoder):
    run, pixels = encoder.compiled(), random_pixels(8)
    alone = np.zeros_like(pixels)
    alone[3] = pixels[3]
    np.testing.assert_array_equal(run(pixels)[3], run(alone)[3])  # bit by bit, in one place
    moved = np.roll(pixels, 4, axis=0)
    np.testing.assert_allclose(np.roll(run(moved), -4, axis=0), run(pixels), atol=1e-6)


def test_bfloat16_is_near(encoder):
    full = np.asarray(encoder.compiled()(random_pixels(8)))
    half = np.asarray(encoder.compiled("bfloat16")(random_pixels(8)))
    assert half.dtype == np.float32
    error = np.abs(full - half).max() / np.abs(full).max()
    assert 1e-5 < error < 0.03


def rows_on(devices: int) -> tuple[int, np.ndarray]:
    """How many devices had a share of a batch, and its rows."""
    import jax

    jax.config.update("jax_num_cpu_devices", devices)
    from vmr_jax.training.mesh import along_batch, make_mesh, replicated

    images.ENCODERS["tiny"] = TINY
    mesh = make_mesh()
    run = images.open_image_encoder("tiny", None).compiled(
        "float32", along_batch(mesh), replicated(mesh)
    )
    rows = run(random_pixels(8))
    return len(rows.sharding.device_set), np.asarray(rows)


def test_devices_share_a_batch(encoder):
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        devices, rows = pool.submit(rows_on, 4).result(timeout=120)
    assert devices == 4
    np.testing.assert_allclose(rows, encoder.compiled()(random_pixels(8)), atol=1e-6)
