import pytest

from vmr_jax.configs import eva
from vmr_jax.overrides import parse_settings, set_key


def test_settings_from_the_command_line():
    parsed = parse_settings(["epochs=3", "share=('self1',)", "select=val"])
    assert parsed == {"epochs": 3, "share": ("self1",), "select": "val"}
    with pytest.raises(ValueError, match="must be KEY=VALUE"):
        parse_settings(["epochs"])


def test_keys_are_set():
    config = eva.get_config()
    set_key(config, "losses.align", False, "eva")
    assert config.losses.align is False


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        ("epoch", 3, "unknown key; did you mean epochs.{2}configs/eva.py and configs/common.py"),
        ("losses.alignn", False, "unknown key; did you mean losses.align or "),
        ("epochs.x", 1, "unknown key; did you mean epochs.* "),
        ("no_such_thing", 1, "unknown key; configs/eva.py and configs/common.py list the keys$"),
        ("losses", 1, "unknown key; did you mean losses.align"),
    ],
)
def test_unknown_keys(key, value, why):
    with pytest.raises(ValueError, match=f"cannot set {key}={value!r}: {why}"):
        set_key(eva.get_config(), key, value, "eva")


def test_values_of_another_type():
    message = "cannot set epochs='three', of type str: epochs is of type int, 24 by default"
    with pytest.raises(ValueError, match=message):
        set_key(eva.get_config(), "epochs", "three", "eva")
