"""Eight simulated devices, of one or two processes, find what one and a plain loop find."""

import multiprocessing
import socket

import numpy as np
from search_cases import make_part, search_slowly, unit

TIMEOUT = 120


def corpus():
    rng = np.random.default_rng(0)
    parts = [make_part(rng, rng.integers(1, 9, count)) for count in (60, 5)]
    parts[1] = parts[1]._replace(kept=np.array([True, False, True, True, True]))
    # The first videos come again, so that equal scores lie on several devices.
    return unit(rng, 3, 2, 8), [*parts, parts[0]]


def found_on(devices: int, settings: list[tuple[int, int]], *of_processes):
    """What is found, and in how many blocks, for each (rows of a block, top k).

    `of_processes`: what `jax.distributed.initialize` takes, where there are several.
    """
    import jax

    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", devices)
    if of_processes:
        jax.distributed.initialize(*of_processes)
    from vmr_jax.search import table
    from vmr_jax.search.exact import top_videos

    query, parts = corpus()
    results = []
    for block_rows, top_k in settings:
        table._BLOCK_ROWS = block_rows
        made = table.make_table(parts, tile_rows=8)
        assert made.mesh.size == devices * jax.process_count()
        results.append((jax.device_get(top_videos(query, made, top_k)), len(made.blocks)))
    return results


# With 32768 rows a block eight devices share one, and some of them have no tile of it.
SETTINGS = [(16, 20), (32768, 20), (16, 150)]


def send_found(sender, *arguments) -> None:
    sender.send(found_on(*arguments))


def run(*processes: tuple) -> list:
    """What `found_on` returns in processes of their own, for the arguments of each."""
    spawn = multiprocessing.get_context("spawn")
    started = []
    try:
        for devices, *others in processes:
            receiver, sender = spawn.Pipe(duplex=False)
            arguments = sender, devices, SETTINGS, *others
            started.append((spawn.Process(target=send_found, args=arguments), receiver))
            started[-1][0].start()
            sender.close()  # so that a process that fails ends the waiting
        for _, receiver in started:
            assert receiver.poll(TIMEOUT), "a process does not end"
        return [receiver.recv() for _, receiver in started]
    finally:
        for process, _ in started:  # one may wait for another that failed
            process.kill()
            process.join()


def check(results: list) -> None:
    query, parts = corpus()
    for result in results:
        for (_, top_k), ((score, row), _) in zip(SETTINGS, result, strict=True):
            slow_score, slow_row = search_slowly(query, parts, top_k)
            np.testing.assert_array_equal(row, slow_row)
            np.testing.assert_allclose(score, slow_score, atol=1e-6)


def test_eight_devices_find_what_one_finds():
    results = run((1,), (8,))
    check(results)
    assert [blocks > 1 for _, blocks in results[1]] == [True, False, True]


def test_two_processes_of_four_devices_find_what_one_finds():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        where = f"127.0.0.1:{free.getsockname()[1]}"
    check(run(*((4, where, 2, process) for process in range(2))))
