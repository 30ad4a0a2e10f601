"""Numbers of a config out of range are refused before data are read."""

import math
import re

import pytest

from tests.conftest import small_vlanet
from vmr_jax import models
from vmr_jax.config_files import config_names, load_config
from vmr_jax.models.ranges import RANGES, check_ranges, declared_key, numbers_of
from vmr_jax.training.loop import train

CONFIGS = {name: load_config(name) for name in config_names()}
OWN = {name: models.of(config).ranges for name, config in CONFIGS.items()}


@pytest.mark.parametrize("name", CONFIGS)
def test_every_number_has_a_range_that_its_default_lies_in(name):
    check_ranges(CONFIGS[name], OWN[name])
    ranges = RANGES | OWN[name]
    assert [k for k, _ in numbers_of(CONFIGS[name]) if declared_key(k) not in ranges] == []


def test_every_range_is_of_a_key_and_said_once():
    known = {declared_key(key) for config in CONFIGS.values() for key, _ in numbers_of(config)}
    assert set(RANGES).union(*OWN.values()) == known
    assert not any(set(RANGES) & set(own) for own in OWN.values())


@pytest.mark.parametrize("key", sorted(set(RANGES).union(*OWN.values())))
def test_what_lies_outside_is_refused(key):
    name = next(name for name, config in CONFIGS.items() if key in dict(numbers_of(config)))
    config, own = CONFIGS[name].copy_and_resolve_references(), OWN[name]
    allowed, usual = (RANGES | own)[key], dict(numbers_of(config))[key]
    outside = [allowed.low - 1, *([allowed.low] if allowed.open else [])]
    outside += [] if math.isinf(allowed.high) else [allowed.high + 1]
    outside += [allowed.high] if allowed.below else []
    wanted = f"it must be {allowed}"
    for number in outside:
        entry = type(usual[0] if isinstance(usual, tuple) else usual)(number)
        value = (*usual, entry) if isinstance(usual, tuple) else entry
        config.update_from_flattened_dict({key: value})
        with pytest.raises(ValueError, match=rf"^config\.{key}=.*: {re.escape(wanted)}$"):
            check_ranges(config, own)


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_what_is_not_finite_is_refused(number):
    config = load_config("eva")
    config.optimizer.learning_rate = number
    with pytest.raises(ValueError, match=r"config\.optimizer\.learning_rate=\w+: .* at least 0$"):
        check_ranges(config, {})


def test_a_run_is_refused_before_its_data_are_read(tmp_path):
    config = small_vlanet(tmp_path / "nothing")
    config.target.max_clips = 0
    with pytest.raises(ValueError, match=r"config\.target\.max_clips=0: it must be at least 1"):
        train(config, tmp_path / "run", "", None)
    assert not (tmp_path / "run").exists()
