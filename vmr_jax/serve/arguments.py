"""What requests may say in their address."""

from typing import Annotated

from fastapi import Query

from vmr_jax.serve.answers import LETTERS, MOST

Sentence = Annotated[str, Query(max_length=LETTERS, description="What happens in the moment.")]
VideoId = Annotated[str, Query(description="Of `/videos`.")]
Top = Annotated[int, Query(ge=1, le=MOST, description="Moments at most.")]
Seconds = Annotated[float, Query(ge=0, allow_inf_nan=False, description="Of the video.")]
