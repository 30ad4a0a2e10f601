"""Video moment retrieval in JAX: find the start and end of the moment that a sentence describes.

    import vmr_jax as vmr

    report = vmr.train("vlanet", workdir="runs/vlanet")
    print(report.table())
    for moment in vmr.load("runs/vlanet").predict(features, "a person opens a door", duration=30.0):
        print(moment.start_s, moment.end_s, moment.score)

Nothing is imported before it is used.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vmr_jax.api import evaluate, score, train
    from vmr_jax.evaluation.predictor import Predictor, load
    from vmr_jax.evaluation.report import Report
    from vmr_jax.models import Description
    from vmr_jax.search.corpus_search import TrainedCorpus
    from vmr_jax.types import Moment
    from vmr_jax.video_index.corpus import Corpus
    from vmr_jax.zero_shot.find import find

__version__ = "0.1.0"
__all__ = [
    "Corpus",
    "Description",
    "Moment",
    "Predictor",
    "Report",
    "TrainedCorpus",
    "__version__",
    "evaluate",
    "find",
    "load",
    "score",
    "train",
]
_ROOMS = {
    "Corpus": "video_index.corpus",
    "Description": "models",
    "Moment": "types",
    "Predictor": "evaluation.predictor",
    "Report": "evaluation.report",
    "TrainedCorpus": "search.corpus_search",
    "evaluate": "api",
    "find": "zero_shot.find",
    "load": "evaluation.predictor",
    "score": "api",
    "train": "api",
}


def __getattr__(name: str):
    if name not in _ROOMS:
        raise AttributeError(f"module 'vmr_jax' has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_ROOMS[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
