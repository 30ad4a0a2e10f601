"""What every config shares: the run's settings, and each dataset's usual set-up."""

from vmr_jax.metrics.moments import DISCOUNTED_DATASETS
from vmr_jax.types import Config

# Windows and strides are in clips. Source: EVA, section 4, "Implementation details"; the papers
# give TVR and DiDeMo none, theirs serve `full.match=proposals` and runs that target them.
_CHARADES = {"features": "i3d", "max_clips": 128, "windows": (8, 12, 20, 32, 64), "stride": 8}
_ACTIVITYNET = {
    "features": "c3d",
    "max_clips": 256,
    "windows": (8, 16, 32, 64, 128),
    "stride": 8,
}
_SIMULATED = {
    "features": "simulated",
    "normalize": "sqrt_standardize",  # they are never negative nor centred
    "stride": 2,
    "select_split": "val",
    "eval_split": "test",
}
DATASETS = {
    "charades_sta": _CHARADES | {"eval_split": "test"},
    "charades_cd": _CHARADES | {"select_split": "val", "eval_split": "test_ood"},
    "charades_cg": _CHARADES | {"eval_split": "novel_composition"},
    "activitynet_captions": _ACTIVITYNET | {"select_split": "val_1", "eval_split": "val_2"},
    "activitynet_cd": _ACTIVITYNET | {"select_split": "val", "eval_split": "test_ood"},
    "activitynet_cg": _ACTIVITYNET | {"eval_split": "novel_composition"},
    "qvhighlights": {
        "features": "slowfast+clip",
        "max_clips": 75,
        "max_words": 32,
        "windows": (2, 5, 10, 20, 40),
        "stride": 2,
        "select_split": "val",
        "eval_split": "test",
    },
    "tvr": {
        "features": "i3d",
        "max_clips": 100,
        "max_words": 30,
        "windows": (4, 8, 16, 32, 64),
        "stride": 4,
        "eval_split": "val",
    },
    "didemo": {
        "features": "vgg16",
        "max_clips": 6,
        "windows": (1, 2, 3, 4, 5, 6),
        "stride": 1,
        "select_split": "val",
        "eval_split": "test",
    },
    "simulated_source": _SIMULATED | {"max_clips": 48, "windows": (4, 6, 8)},
    "simulated_target": _SIMULATED | {"max_clips": 40, "windows": (4, 6)},
    "simulated_unseen": _SIMULATED | {"max_clips": 48, "windows": (5, 8)},
    "simulated_highlights": {
        "features": "simulated",
        "max_clips": 40,
        "windows": (1, 2, 4, 8),
        "stride": 1,
        "select_split": "val",
        "eval_split": "test",
    },
    "simulated_corpus": {
        "features": "simulated",
        "subtitles": "simulated_subtitles",
        "max_clips": 36,
        "max_words": 16,
        "normalize": "sqrt_standardize",
        "select_split": "val",
        "eval_split": "test",
    },
}


def domain_block(
    dataset: str, labels: bool, *, windows: bool = False, subtitles: bool = False
) -> Config:
    """One dataset in one role. `labels=False` hides its boundaries from training.

    With `windows` also the sliding windows and their stride that moments are proposed by, in clips;
    with `subtitles` those that the dataset is known to have.
    """
    settings = {
        "dataset": dataset,
        "features": "",
        "subtitles": "",  # features of what is said in the same clips; "" = none
        "query_features": "",  # features of the queries' tokens; "" = the word vectors
        "labels": labels,
        # Of several annotators' moments: agreed (the largest mean IoU with all) | most_frequent
        # (PREM P21); all: they are different moments of the query (Moment-DETR)
        "training_moment": "agreed",
        "train_split": "train",
        "select_split": "",  # the split that may choose a checkpoint; "" = `val`, if it is there
        "eval_split": "test",
        # native_capped | uniform (EVA A17) | rounded_bins (max_clips bins a video; MMN A1) |
        # cut (the first max_clips clips)
        "clip_sampling": "native_capped",
        # Of clip features: none | l2 (each native frame at length 1, before the sampling) |
        # standardize (mean 0 and deviation 1 over the training split's clips) | sqrt_standardize
        # (the same of sign(x) sqrt(|x|)); the last two after the sampling
        "normalize": "none",
        "feature_dropout": 0.0,  # in training, the rate of clip features left out of a video
        "query_dropout": 0.0,  # the same of the features of a query's words
        "max_clips": 128,
        "max_words": 20,
        "windows": (8, 16, 32, 64),
        "stride": 8,
    }
    settings |= DATASETS.get("didemo" if is_didemo(dataset) else dataset, {"features": "features"})
    if not subtitles:
        settings["subtitles"] = ""
    if not windows:
        del settings["windows"], settings["stride"]
    return Config(settings)


def source_and_target(argument: str, config: str) -> tuple[str, str]:
    """The datasets of an argument "SOURCE,TARGET"; "" is the simulated pair.

    `config` is the config file's name. Raises ValueError if two datasets are not named.
    """
    names = (argument or "simulated_source,simulated_target").split(",")
    if len(names) != 2 or not all(names):
        raise ValueError(
            f"the config's argument is {argument!r}; it must be SOURCE,TARGET, "
            f"e.g. --config=configs/{config}.py:tvr,charades_sta"
        )
    return names[0], names[1]


def mmd() -> Config:
    """What a squared MMD compares, and its kernel (EVA A13, A14)."""
    return Config(
        {
            "samples": "mean",  # mean | max | elements (EVA A13)
            "elements": 1024,  # subsample of a domain's elements
            "kernel": "median_multi",  # median_multi | median_single | fixed (EVA A14)
            "gamma": 1.0,  # of the fixed kernel exp(-gamma |x - y|^2)
        }
    )


def evaluate_as(config: Config, dataset: str) -> None:
    """Set `metric` and `eval` to what a dataset's own evaluation asks for."""
    config.metric.discounted = dataset in DISCOUNTED_DATASETS
    if is_didemo(dataset):
        config.metric.didemo = "official"
        config.eval.update({"top_k": 21, "nms": 1.0, "clip_to_duration": False})


def are_simulated(*datasets: str) -> bool:
    """Tell embedded datasets, for which networks are sized for two CPU cores."""
    return all(dataset.startswith("simulated") for dataset in datasets)


def is_didemo(dataset: str) -> bool:
    """Tell DiDeMo, under its own name or one that starts with it (didemo_simulated)."""
    return dataset.startswith("didemo")


def run() -> Config:
    """Settings of a run that no paper cares about."""
    config = Config()
    config.seed = 0
    config.precision = "float32"  # float32 | bfloat16 (parameters, losses, softmax stay float32)
    config.data_dir = "data_cache"  # where `vmr prepare` wrote, and the simulated data goes
    config.batch_size = 64  # pairs a domain, over all devices
    config.epochs = 50
    config.optimizer = Config(
        {
            "name": "adam",
            "learning_rate": 1e-4,
            "grad_clip": 0.0,
            "warmup": 0.0,  # share of all steps in which the rate rises
            "schedule": "constant",  # constant | linear, to 0 at the end
        }
    )
    config.data = Config(
        {
            "verify": True,  # compare prepared files with their SHA-256; False: huge ones, unread
            "residency": "device",  # device: tables on the device | host: streamed by grain
            "threads": 8,  # of the streamed path
            "prefetch": 16,  # batches
            "queries_per_video": 1,  # 1 | 2 (EVA A16)
        }
    )
    config.log_every = 25  # steps of one dispatch, about; an epoch is cut into such pieces
    # Epochs between evaluations on the selection split (0: every checkpoint); the last epoch is
    # always evaluated.
    config.eval_every = 0
    config.checkpoint_every = 1  # epochs
    config.keep_checkpoints = 2
    config.parameter_rules = ()  # (path pattern, mesh axis or None for each array axis)
    # last | val (R@1,IoU=0.5 on select_split) | holdout (10 % of train, which needs its labels) |
    # val_or_holdout: val where there is such a split
    config.select = "last"
    config.patience = 0  # epochs without a better one after which a run ends; 0 = it never does
    config.eval = Config(
        {
            "batch_size": 64,
            "top_k": 10,
            "nms": 0.5,  # IoU above which a lower ranked moment is removed; 1.0 = off
            "clip_to_duration": True,
        }
    )
    config.metric = Config(
        {
            "iou_cmp": "ge",  # ge | gt (EVA A19)
            "drop_invalid_gt": False,
            "discounted": False,  # report dR@n,IoU=m too
            "several": False,  # a query has several moments: report QVHighlights' mAP too
            # DiDeMo's own rank@1, rank@5, mIoU too: "" (no) | official (the best three
            # annotators) | any (the best one) (VLANet V13)
            "didemo": "",
        }
    )
    return config
