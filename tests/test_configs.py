"""What EVA's config says for its argument, and that it takes no other keys."""

import pytest

from configs import eva


@pytest.mark.parametrize("argument", ["tvr", "tvr,", ",tvr", "a,b,c"])
def test_the_argument_names_two_datasets(argument):
    with pytest.raises(
        ValueError, match=f"argument is '{argument}'; it must be SOURCE,TARGET, e.g."
    ):
        eva.get_config(argument)


@pytest.mark.parametrize(
    ("argument", "discounted"),
    [
        ("", False),
        ("tvr,charades_sta", False),
        ("charades_cd,tvr", False),
        ("tvr,charades_cd", True),
        ("tvr,activitynet_cd", True),
    ],
)
def test_discounted_recall_is_of_changed_distributions(argument, discounted):
    assert eva.get_config(argument).metric.discounted is discounted


@pytest.mark.parametrize("target", ["didemo", "didemo_simulated"])
def test_didemo_is_scored_by_its_own_metric(target):
    config = eva.get_config(f"tvr,{target}")
    assert config.metric.didemo == "official"
    assert config.eval.to_dict() | {"top_k": 21, "nms": 1.0, "clip_to_duration": False} == (
        config.eval.to_dict()
    )
    assert config.target.windows == (1, 2, 3, 4, 5, 6) and config.target.stride == 1
    other = eva.get_config("didemo,charades_sta")
    assert other.metric.didemo == "" and other.eval.nms == 0.5


@pytest.mark.parametrize("key", ["epoch", "optimizer.lr", "losses.alignn", "target.window"])
def test_new_keys_are_refused(key):
    with pytest.raises(KeyError, match="the config is locked"):
        eva.get_config().update_from_flattened_dict({key: 1})
