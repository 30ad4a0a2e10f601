"""A checkpoint of an older version means what it meant before there was a choice."""

import json

import pytest

from vmr_jax import models
from vmr_jax.configs import mmcda, mmn, vdi
from vmr_jax.evaluation.restore import _ADDED, as_config


@pytest.mark.parametrize("config", [mmn.get_config(), vdi.get_config(), mmcda.get_config()])
def test_keys_that_are_missing_stand_for_the_papers_form(config):
    older = json.loads(json.dumps(config.to_dict()))
    for key in _ADDED[config.system]:
        *blocks, name = key.split(".")
        block = older
        for part in blocks:
            block = block[part]
        del block[name]
    del older["target"]["feature_dropout"], older["target"]["query_dropout"]
    found = as_config(older)
    for key, value in _ADDED[config.system].items():
        assert _at(found, key) == value == _at(config, key)
    assert models.of(found).domains(found) == models.of(config).domains(config)


def _at(config, key):
    for part in key.split("."):
        config = config[part]
    return config
