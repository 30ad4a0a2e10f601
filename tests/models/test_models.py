import pytest
from ml_collections import ConfigDict

from vmr_jax import models


def test_an_unknown_system_is_refused_with_the_known_ones():
    config = ConfigDict({"system": "evaa"})
    known = f"Known systems: {', '.join(models.names())}"
    for function in (models.of, lambda c: models.make(c, {})):
        with pytest.raises(ValueError, match=f"'evaa' is not known: did you mean eva.* {known}"):
            function(config)
