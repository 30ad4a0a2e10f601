import jax
import jax.numpy as jnp
import numpy as np

from vmr_jax.losses.negatives import other_video, rival_mean, rivals, similarities


def test_negatives_show_another_video_and_are_real():
    video = jnp.array([4, 4, 7, 9, 7, 1])
    weight = jnp.array([1.0, 1, 1, 1, 1, 0])
    seen = set()
    for seed in range(60):
        index, found = other_video(jax.random.key(seed), video, weight)
        assert found[:5].all() and not found[5]
        for item, other in enumerate(np.asarray(index)[:5]):
            assert video[item] != video[other] and weight[other] > 0
            seen.add((item, int(other)))
    expected = {(i, j) for i in range(5) for j in range(5) if video[i] != video[j]}
    assert seen == expected


def test_negatives_are_uniform():
    video, weight = jnp.array([0, 0, 1, 2, 3]), jnp.ones(5)
    keys = jax.random.split(jax.random.key(0), 3000)
    index, _ = jax.vmap(other_video, (0, None, None))(keys, video, weight)
    share = np.bincount(np.asarray(index)[:, 0], minlength=5) / 3000
    np.testing.assert_allclose(share, [0, 0, 1 / 3, 1 / 3, 1 / 3], atol=0.04)


def test_a_batch_of_one_video_has_no_negatives():
    _, found = other_video(jax.random.key(0), jnp.array([3, 3]), jnp.ones(2))
    assert not found.any()
    _, found = other_video(jax.random.key(0), jnp.array([3, 5]), jnp.array([1.0, 0.0]))
    assert found.tolist() == [False, False]


def test_rivals_are_real_and_show_other_videos():
    video, weight = jnp.array([4, 4, 7, 9]), jnp.array([1.0, 1, 1, 0])
    found = rivals(video, weight)
    expected = {(0, 2), (1, 2), (2, 0), (2, 1)}
    assert {tuple(map(int, pair)) for pair in np.argwhere(found)} == expected
    found = rivals(video, weight, same_video=True)
    expected |= {(0, 1), (1, 0)}
    assert {tuple(map(int, pair)) for pair in np.argwhere(found)} == expected


def test_the_mean_of_rivals_reads_them_alone():
    rival = jnp.array([[False, True, True], [True, False, False], [False, False, False]])
    score = jnp.arange(9.0).reshape(3, 3)
    assert rival_mean(score, rival).tolist() == [1.5, 3, 0]


def test_similarities_are_means_over_the_weights():
    terms = similarities(
        jnp.array([1.0, 2.0, 9.0]), jnp.array([0.0, -2.0, 9.0]), jnp.array([1.0, 1, 0])
    )
    assert {n: float(t / c) for n, (t, c) in terms.items()} == {
        "similarity_positive": 1.5,
        "similarity_negative": -1.0,
    }
