"""MMCDA, derived from the abstract: not a reproduction (Fang, Liu, Zhou, Hu; IEEE TMM 2022).

    python -m vmr_jax.main --config=configs/mmcda.py                   # the simulated pair
    python -m vmr_jax.main --config=configs/mmcda.py:tvr,charades_sta  # any SOURCE,TARGET

Only the paper's abstract is public. It fixes three modules, domain, cross-modal and specific
alignment; the network, the losses and all numbers are this project's. The argument is
SOURCE,TARGET: any two prepared datasets with the same kind of features. Without it, training on
the simulated data takes 116 seconds on one CPU core; expected result: R@1,IoU=0.5 39.3 (33.7 to
45.0 in 95 %) on simulated_target / test, location_prior 16.7, linear_match 27.7.

The losses, MMCDA M1 to M10 of docs/papers/mmcda.md (code: vmr_jax/models/mmcda/losses.py):

    M1  localization: start and end of the source's moments, and which clips lie inside
    M2  squared MMD, by which domains and modalities are compared
    M3  domain alignment of videos F, queries W and fused clips H, source against target
    M4  cross-modal, source: a moment's mean clip and its sentence, InfoNCE in the batch
    M5  cross-modal, target: a video as a query attends it and that query, InfoNCE
    M6  cross-modal, target: MMD between all videos and all queries
    M7  specific, source: which clips lie inside, by their similarity with the sentence
    M8  specific, source: clips inside above the most similar clips outside
    M9  specific, target: a video's best clips for its own query above those for others
    M10 the sum: M1 + lambda_da M3 + lambda_ca (M4 + M5 + M6) + lambda_sa (M7 + M8 + M9)

MMCDA C1 to C9, below, number the questions that the abstract leaves open, on the same page.
"""

from vmr_jax.configs import common
from vmr_jax.types import Config


def get_config(domains: str = "") -> Config:
    """MMCDA's settings, locked: later only these keys can be set. `domains` is "SOURCE,TARGET".

    Raises ValueError if `domains` does not name two datasets.
    """
    source, target = common.source_and_target(domains, "mmcda")
    config = common.run()
    config.system = "mmcda"
    config.source = common.domain_block(source, labels=True)
    config.target = common.domain_block(target, labels=False)
    if domains:
        config.source.features = config.target.features
    # Which domain's boundaries are learnt. target: L_loc alone on the target, which needs
    # target.labels=True; the upper bound of a transfer
    config.supervision = "source"  # source | target
    # With supervision=target: MMCDA M4, M7 and M8 on the target's labels beside L_loc
    config.align_target = False

    config.dim = 256
    config.joint_dim = 256  # of the space where clips meet sentences
    # Which clips meet them: encoded | projected (before they attend each other)
    config.joint_clips = "encoded"
    # Which words: encoded | given (the mean of the vectors that are read)
    config.joint_words = "encoded"
    config.heads = 4
    config.dropout = 0.1
    config.video_encoder = "transformer"  # transformer | bigru (MMCDA C7)
    config.position = "learned"  # learned | sinusoidal, of the Transformer
    # Rows of the learned positions: the most clips that a video may have, at test too
    config.position_rows = max(config.source.max_clips, config.target.max_clips)
    config.share_encoders = True  # False: a projection of the features a domain (MMCDA C6)
    config.base = "span"  # span | map2d: MMN's map over the fused clips (MMCDA C4)
    # Of span: clips on each side of a clip's edges whose difference the boundaries read too, widths
    # such as (1, 2, 4); none: the video's and the query's rows alone
    config.edges = ()
    config.map = Config(  # of map2d
        {"clips": 16, "pooling_counts": (15,), "kernel": 5, "layers": 4, "dim": 256}
    )
    config.iou = Config({"min": 0.5, "max": 1.0})  # IoUs of the labels 0 and 1 of its cells

    _set_modules(config)
    config.mmd = common.mmd()
    config.pseudo_labels = False  # MMCDA M1 on the target's own best spans too (MMCDA C9)
    config.ramp = True  # domain alignment and the target's terms grow in the first tenth
    config.infer = Config(  # MMCDA M11
        {
            "beta": 0.1,  # weight of inside
            "eta": 1.0,  # weight of similarity
            "similar": "contrast",  # contrast | sum
            "threshold": 0.75,  # of sum: deviations above the video's mean
        }
    )

    config.batch_size = 32
    config.epochs = 50  # of the domain with more pairs
    config.optimizer.update({"learning_rate": 4e-4, "grad_clip": 1.0})
    # Target labels never choose: the source's validation split does, or a tenth of its videos
    config.select = "val_or_holdout"
    common.evaluate_as(config, target)

    if common.are_simulated(source, target):  # sized for two CPU cores
        config.dim, config.joint_dim = 64, 64
        config.map.update({"kernel": 3, "layers": 2, "dim": 64})
        config.dropout = 0.0
        config.epochs, config.optimizer.learning_rate = 12, 2e-3
    return config.lock()


def _set_modules(config: Config) -> None:
    """Domain, cross-modal and specific alignment: what each compares, and its weight."""
    config.modules = Config({"da": True, "ca": True, "sa": True})
    # MMCDA C1; False: the target's videos and queries come unpaired, MMCDA M5 and MMCDA M9 are
    # off. The fused features, H, still read the pairs, unless "fused" is left out of da.points
    config.target_pairs = True
    config.da = Config(
        {
            "kind": "mmd",  # mmd | adversarial | coral (MMCDA C2)
            "points": ("video", "query", "fused"),  # where (MMCDA C3)
        }
    )
    config.ca = Config(
        {
            "source": True,  # MMCDA M4
            "target_pairs": True,  # MMCDA M5
            "target_mmd": True,  # MMCDA M6
            "temperature": 0.1,  # of MMCDA M4 and MMCDA M5
            "attention": 0.1,  # temperature of the clips' weights in MMCDA M5
        }
    )
    config.sa = Config(
        {
            "m7": True,  # MMCDA M7: clips of the source by label
            "m8": True,  # MMCDA M8: ranking of the source's clips
            "m9": True,  # MMCDA M9: multiple instances on the target (MMCDA C5)
            "neg": "mean",  # mean | hardest, of the batch's others in MMCDA M9
            "margin": 0.2,  # of MMCDA M8 and MMCDA M9
        }
    )
    # MMCDA C8; "lambda" cannot be a flag
    config.lambdas = Config({"da": 1.0, "ca": 0.5, "sa": 0.5})
