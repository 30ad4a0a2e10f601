"""A switch with an unknown value is refused with the allowed ones: systems of two domains."""

import eva_cases
import mmcda_cases
import pytest

from vmr_jax import models
from vmr_jax.models.eva import system as eva
from vmr_jax.models.mmcda import switches as mmcda_switches

SWITCHES = [
    *((eva_cases, path, choices) for path, choices in eva._CHOICES.items()),
    *((mmcda_cases, path, choices) for path, choices in mmcda_switches.CHOICES.items()),
]


@pytest.mark.parametrize(("cases", "path", "choices"), SWITCHES)
def test_it_is_refused_with_the_allowed_ones(cases, path, choices):
    config = cases.config(**{path.replace(".", "__"): "nonsense"})
    with pytest.raises(ValueError, match=f"config.{path}='nonsense': use one of ") as error:
        models.make(config, cases.SPECS)
    assert all(choice in str(error.value) for choice in choices)
