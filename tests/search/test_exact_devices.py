"""Eight simulated devices find what one device and a plain loop find."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import numpy as np
from search_cases import make_part, search_slowly, unit

TIMEOUT = 120


def corpus():
    rng = np.random.default_rng(0)
    parts = [make_part(rng, rng.integers(1, 9, count)) for count in (60, 5)]
    parts[1] = parts[1]._replace(kept=np.array([True, False, True, True, True]))
    # The first videos come again, so that equal scores lie on several devices.
    return unit(rng, 3, 2, 8), [*parts, parts[0]]


def found_on(devices: int, settings: list[tuple[int, int]]):
    """What is found, and in how many blocks, for each (rows of a block, top k)."""
    import jax

    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", devices)
    from vmr_jax.search import table
    from vmr_jax.search.exact import top_videos

    query, parts = corpus()
    results = []
    for block_rows, top_k in settings:
        table._BLOCK_ROWS = block_rows
        made = table.make_table(parts, tile_rows=8)
        assert made.mesh.size == devices
        results.append((jax.device_get(top_videos(query, made, top_k)), len(made.blocks)))
    return results


def test_eight_devices_find_what_one_finds():
    # With 32768 rows a block the devices share one, and some of them have no tile of it.
    settings = [(16, 20), (32768, 20), (16, 150)]
    spawn = multiprocessing.get_context("spawn")
    with (
        ProcessPoolExecutor(1, mp_context=spawn) as one,
        ProcessPoolExecutor(1, mp_context=spawn) as eight,
    ):
        runs = [pool.submit(found_on, n, settings) for pool, n in ((one, 1), (eight, 8))]
        results = [run.result(TIMEOUT) for run in runs]
    query, parts = corpus()
    assert [blocks > 1 for _, blocks in results[1]] == [True, False, True]
    for result in results:
        for (_, top_k), ((score, row), _) in zip(settings, result, strict=True):
            slow_score, slow_row = search_slowly(query, parts, top_k)
            np.testing.assert_array_equal(row, slow_row)
            np.testing.assert_allclose(score, slow_score, atol=1e-6)
