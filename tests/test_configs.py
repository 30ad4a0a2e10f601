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


@pytest.mark.parametrize("key", ["epoch", "optimizer.lr", "losses.alignn", "target.window"])
def test_new_keys_are_refused(key):
    with pytest.raises(KeyError, match="the config is locked"):
        eva.get_config().update_from_flattened_dict({key: 1})
