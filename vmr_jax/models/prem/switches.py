"""What PREM's two systems ask of their configs alike."""

from vmr_jax.layers.clip_spans import END_LABELS
from vmr_jax.models.ranges import COUNT, NOT_NEGATIVE, POSITIVE
from vmr_jax.models.switches import PRECISIONS, check_choices, check_dropout, check_heads
from vmr_jax.types import Config, DataSpec

_CHOICES = {
    "precision": PRECISIONS,
    "modalities": (("image", "sub"), ("image",), ("sub",)),
    "act": ("relu", "gelu"),
    "pos": ("learned", "sin"),
    "pooling": ("mean", "max", "modality"),
    "end_label": END_LABELS,
}
RANGES = {
    **dict.fromkeys(
        ("first.retrieve", "first.top", "infer.keep", "lc.max_pos", "negatives"), COUNT
    ),
    **dict.fromkeys(
        ("infer.max_l", "infer.min_l", "lc.weight", "score.video_weight", "weak_weight"),
        NOT_NEGATIVE,
    ),
    **dict.fromkeys(("clip_seconds", "temperature"), POSITIVE),
}


def check_config(config: Config, choices: dict) -> None:
    """Raise ValueError for a bad switch, of both systems or of `choices`."""
    check_choices(config, _CHOICES | choices)
    if "sub" in config.modalities and not config.target.subtitles:
        raise ValueError(
            f"config.modalities={tuple(config.modalities)}, but config.target.subtitles='' names "
            "no subtitles: name them, or use modalities=('image',)."
        )
    if not config.target.labels:
        raise ValueError("config.target.labels=False: PREM learns from boundaries, set it to True.")
    check_heads(config)
    check_dropout(config)
    for name in ("clip_seconds", "temperature"):
        if config[name] <= 0:
            raise ValueError(f"config.{name}={config[name]}: use more than 0.")


def check_spec(config: Config, spec: DataSpec) -> None:
    """Raise ValueError where the data have no subtitles that the config counts on."""
    if "sub" in config.modalities and not spec.sub_dim:
        raise ValueError(
            f"config.modalities={tuple(config.modalities)}, but the data have no subtitle "
            f"features: prepare {config.target.dataset} with subtitles, or use "
            "modalities=('image',)."
        )
