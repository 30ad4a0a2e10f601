"""MMN: mutual matching on 2D moment maps (Wang et al., AAAI 2022).

    python -m vmr_jax.main --config=configs/mmn.py                       # simulated data
    python -m vmr_jax.main --config=configs/mmn.py:charades_sta
    python -m vmr_jax.main --config=configs/mmn.py:activitynet_captions

The argument is any prepared dataset; one that the paper does not have takes Charades-STA's
numbers, ActivityNet-CD and -CG those of ActivityNet Captions. The text encoder of the paper's size
is DistilBERT base uncased, whose files you name: --config.text.tokenizer=FOLDER
--config.text.weights=FOLDER/model.safetensors.
Without an argument training takes 135 seconds on one CPU core; expected result: R@1,IoU=0.5 64.7
(59.7 to 70.0 in 95 %) on simulated_target / test, location_prior 16.7, linear_match 31.0.
"""

from vmr_jax.configs import common
from vmr_jax.types import Config

# What differs between the paper's datasets.
_CHARADES = {
    "target.max_clips": 32,  # N_pre
    "map.clips": 16,
    "map.pooling_counts": (15,),
    "map.kernel": 5,
    "map.layers": 8,
    "batch_size": 48,
    "epochs": 18,
    "optimizer.learning_rate": 1e-4,
    "optimizer.milestones": (8, 13),
    "optimizer.slow.freeze_epochs": 4,
    "iou.min": 0.5,
    "iou.max": 1.0,
    "contrastive.weight": 0.05,
    "contrastive.full_epochs": 7,
    "contrastive.margin": 0.4,
    "contrastive.positives": 1,
    "score.power": 0.5,
    "eval.nms": 0.5,
    "eval.batch_size": 48,
}
PAPER = {
    "charades_sta": _CHARADES | {"target.features": "vgg"},
    "activitynet_captions": _CHARADES
    | {
        "target.features": "c3d",
        "target.max_clips": 256,
        "map.clips": 64,
        "map.pooling_counts": (15, 8, 8),
        "map.kernel": 9,
        "map.layers": 4,
        "optimizer.learning_rate": 8e-4,
        "optimizer.milestones": (7, 15),
        "contrastive.weight": 0.1,
        "contrastive.full_epochs": 6,
        "contrastive.margin": 0.3,
    },
    "tacos": _CHARADES
    | {
        "target.features": "c3d",
        "target.max_clips": 256,
        "map.clips": 128,
        "map.pooling_counts": (15, 8, 8, 8),
        "batch_size": 4,
        "epochs": 250,
        "optimizer.learning_rate": 1.5e-3,
        "optimizer.milestones": (130, 190),
        "optimizer.slow.freeze_epochs": 40,
        "iou.min": 0.3,
        "iou.max": 0.7,
        "contrastive.weight": 0.1,
        "contrastive.full_epochs": 100,
        "contrastive.margin": 0.1,
        "contrastive.positives": 3,
        "score.power": 0.3,
        "eval.nms": 0.4,
        "eval.batch_size": 4,
    },
}
PAPER |= dict.fromkeys(("activitynet_cd", "activitynet_cg"), PAPER["activitynet_captions"])


# How the large products of the text encoder lie over several devices.
_TEXT_RULES = (
    ("text_encoder/layers/(qkv|fc1)/kernel", (None, None, "data")),
    ("text_encoder/layers/(out|fc2)/kernel", (None, "data", None)),
)


def get_config(dataset: str = "") -> Config:
    """MMN's settings for a dataset, locked: later only these keys can be set."""
    config = common.run()
    config.system = "mmn"
    config.target = common.domain_block(dataset or "simulated_target", labels=True)
    config.target.clip_sampling = "rounded_bins"
    config.target.normalize = "l2"  # of each frame, before the bins (VDI D14)
    config.target.max_words = 64  # tokens of a query, the two special ones included

    config.text = _text_encoder()
    config.video = Config({"conv": True})  # the 1 x 1 convolution; False for CLIP features
    config.dim = 512  # channels of the map
    config.joint_dim = 256  # of the two spaces where cells meet queries
    config.map = Config(
        {
            "clips": 16,
            "pooling_counts": (15,),
            "kernel": 5,
            "layers": 8,
            "form": "sparse",  # sparse | dense: the same results (MMN A3)
            # Clips on each side of a moment's edges whose likeness is added to the map: 0 = none,
            # the paper's map (MMN A17)
            "edges": 0,
        }
    )
    config.iou = Config(
        {
            "min": 0.5,  # IoUs of the labels 0 and 1 (MMN A7)
            "max": 1.0,
            "given_match": False,  # the IoU's logit has the contrastive cosine added
        }
    )
    config.contrastive = Config(
        {
            "weight": 0.05,
            "full_epochs": 7,  # a hundredth of the weight after them (MMN A13)
            "margin": 0.4,  # (MMN A9)
            "tau_v": 0.1,  # temperature of moment to sentence
            "tau_s": 0.1,  # of sentence to moment
            # What meets sentences: convolved | pooled (a moment's clips alone, not those around it)
            # | mean (the same, their mean in place of the largest values)
            "cells": "convolved",
            "positives": 1,  # cells of a query, by IoU (MMN A8)
            "epsilon": 1e-6,  # added to the sum of sentence to moment (MMN A12)
            # Videos that share negatives and batch statistics: 0 = the whole batch; 12 on
            # Charades-STA and 8 on ActivityNet are the released scripts' (MMN A5).
            "group_size": 0,
        }
    )
    config.neg_mask = "exclude"  # exclude | legacy_one: cells of a high IoU add 1 (MMN A11)
    # fusion: mmn_pow | product | iou_only (MMN A15)
    config.score = Config({"fusion": "mmn_pow", "power": 0.5})
    config.optimizer = Config(
        {
            "name": "adamw",
            "learning_rate": 1e-4,
            "betas": (0.9, 0.99),
            "weight_decay": 1e-5,
            "grad_clip": 5.0,
            "milestones": (8, 13),  # epochs, after which the rate falls to a tenth
            # The text encoder, which is frozen in the first epochs (MMN A14).
            "slow": {"pattern": "^text_encoder/", "factor": 0.1, "freeze_epochs": 4},
        }
    )
    config.update_from_flattened_dict(PAPER.get(dataset, _CHARADES))
    if common.are_simulated(config.target.dataset):
        _size_for_two_cores(config)
    else:
        config.parameter_rules = _TEXT_RULES
    common.evaluate_as(config, dataset)
    return config.lock()


def _text_encoder() -> Config:
    """The encoder of sentences, and the files that it starts from."""
    return Config(
        {
            # distilbert | clip | features: those that target.query_features names, of an encoder
            # that is not trained
            "encoder": "distilbert",
            # base (or as the config.json beside the tokeniser says: MiniLM ...) | small (random
            # weights, its own vocabulary)
            "size": "base",
            "tokenizer": "",  # tokenizer.json, or the folder of vocab.txt (clip: and merges.txt)
            "weights": "",  # a file of Hugging Face or OpenAI; "" = random
            "extra_ln": False,  # a LayerNorm before CLIP's heads (VDI D13); DistilBERT has one
            "remat": False,  # compute layers again in the backward pass: less memory, more time
        }
    )


def _size_for_two_cores(config: Config) -> None:
    """Make the network and the run small enough for the simulated data on two CPU cores."""
    config.target.update({"max_words": 16, "normalize": "sqrt_standardize"})
    config.text.size = "small"
    config.dim, config.joint_dim = 64, 64
    config.map.update({"kernel": 3, "layers": 4})
    config.batch_size, config.epochs = 16, 12
    config.optimizer.update({"learning_rate": 1e-3, "milestones": (8, 11)})
    config.optimizer.slow.update({"factor": 1.0, "freeze_epochs": 0})
    config.contrastive.full_epochs = 12
