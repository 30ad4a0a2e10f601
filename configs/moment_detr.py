"""Moment-DETR: moments as a set, saliency of each clip (Lei et al., NeurIPS 2021).

    python -m vmr_jax.main --config=configs/moment_detr.py                # simulated highlights
    python -m vmr_jax.main --config=configs/moment_detr.py:qvhighlights   # Table 3
    python -m vmr_jax.main --config=configs/moment_detr.py:charades_sta   # Table 6

The argument is any prepared dataset; QVHighlights' are SlowFast's and CLIP's features of clips of
2 s, prepared as `slowfast` and `clip`, and the tokens of CLIP's text encoder as `clip_text`. A
number without a remark is the public code's (jayleicn/moment_detr, config.py and train.sh).
Without an argument training takes 176 s of CPU; expected result: R@1,IoU=0.5 62.5 (56.9 to 67.9 in
95 %) on simulated_highlights / test, location_prior 15.3, linear_match 48.2. A third of the epochs
stays at location_prior (docs/papers/moment_detr.md).
"""

from vmr_jax.configs import common
from vmr_jax.types import Config


def get_config(dataset: str = "") -> Config:
    """Moment-DETR's settings for a dataset, locked: later only these keys can be set."""
    return family("moment_detr", dataset).lock()


def family(system: str, dataset: str) -> Config:
    """What Moment-DETR and QD-DETR share, with the switches as Moment-DETR has them."""
    config = common.run()
    config.system = system
    config.target = common.domain_block(dataset or "simulated_highlights", labels=True)
    config.target.update({"normalize": "l2", "training_moment": "all"})

    config.input = Config(
        {
            "layers": 2,  # of each projection: LayerNorm, dropout, linear
            "dropout": 0.5,
            "unit_words": True,  # token features at length 1
            "endpoints": True,  # a clip's start and end as two more features ("tef")
        }
    )
    config.dim = 256
    config.heads = 8
    config.hidden = 1024  # of the feed-forward parts
    config.dropout = 0.1
    config.encoder_layers = 2  # of each encoder
    config.decoder_layers = 2
    config.encoder = "joint"  # joint: clips and words attend all | cross: clips attend words first
    config.decoder = "slots"  # slots: learned positions | anchors: refined centres and widths
    config.slots = 10  # moments that can be found
    config.most_moments = 5  # of a query that a step learns, random ones where there are more
    config.auxiliary = True  # losses of every decoder layer
    # Matching: weights of the L1 distance, the IoU and the probability of a moment
    config.cost = Config({"span": 10.0, "iou": 1.0, "label": 4.0})
    # Losses: the same, and the weight of slots that match nothing beside those that do
    config.weights = Config({"span": 10.0, "iou": 1.0, "label": 4.0, "nothing": 0.1})
    config.saliency = Config(
        {
            "head": "linear",  # linear | token (a token that reads the video with its query)
            "weight": 1.0,
            "margin": 0.2,
            "negatives": False,  # another pair's sentence makes all clips less salient
            "ranking": False,  # and clips are ranked by levels of saliency beside it
        }
    )
    config.infer = Config({"round_to_clips": False})  # boundaries at multiples of a clip
    config.batch_size = 32
    config.epochs = 200
    config.optimizer = Config(
        {
            "name": "adamw",
            "learning_rate": 1e-4,
            "betas": (0.9, 0.999),  # PyTorch's
            "weight_decay": 1e-4,
            "grad_clip": 0.1,
            "milestones": (),  # none within 200 epochs
            "slow": {"pattern": "^$", "factor": 1.0, "freeze_epochs": 0},
        }
    )
    config.eval.nms = 1.0  # off
    config.metric.several = True
    if dataset == "qvhighlights":
        config.target.query_features = "clip_text"
        config.infer.round_to_clips = True
        config.select = "val"
    elif dataset.startswith("charades"):
        config.target.update({"features": "slowfast+clip", "query_features": "clip_text"})
        config.metric.several = False
        # Not in the papers; those of line/lighthouse (EMNLP 2024) for both systems
        config.optimizer.update({"learning_rate": 2e-4, "milestones": (40,)})
        config.epochs = 100
        config.saliency.weight = 4.0
    if common.are_simulated(config.target.dataset):
        _size_for_two_cores(config)
    common.evaluate_as(config, dataset)
    config.metric.didemo = ""  # its metric ranks all of DiDeMo's moments, a set has a few
    return config


def _size_for_two_cores(config: Config) -> None:
    """Make the network and the run small enough for the simulated data on two CPU cores."""
    config.target.max_words = 12
    config.dim, config.heads, config.hidden = 64, 4, 128
    config.input.dropout, config.dropout = 0.1, 0.0
    config.epochs = 90
    config.optimizer.update({"learning_rate": 1e-3, "milestones": (75,)})
    config.infer.round_to_clips = True
