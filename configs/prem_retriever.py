"""PREM's retriever, which ranks the videos of a corpus (Hou et al., ICMR 2024).

    python -m vmr_jax.main --config=configs/prem_retriever.py          # simulated corpus
    python -m vmr_jax.main --config=configs/prem_retriever.py:tvr      # Tables 1 to 3
    python -m vmr_jax.main --config=configs/prem_retriever.py:didemo   # Table 1

The argument is any prepared dataset. TVR's and DiDeMo's token features of queries and subtitles are
those of `vmr prepare`, under the names below. Another dataset has word vectors and no subtitles
unless you name them: --config.target.subtitles=NAME --config.modalities="('image', 'sub')". Tables
2 and 3 are the switches `modalities`, `positive` and `pooling`. configs/prem_localizer.py finds
the moments in the videos that this system ranks. Without an argument training takes about 75
seconds on one CPU core; expected result: VR/R@1 54.4 on simulated_corpus / test, chance 0.5,
linear_match 10.8.
"""

from vmr_jax.configs import common
from vmr_jax.types import Config


def get_config(dataset: str = "") -> Config:
    """The retriever's settings for a dataset, locked: later only these keys can be set."""
    config = shared(dataset)
    config.system = "prem_retriever"
    config.batch_size = 256
    config.epochs = 100
    # strong (a clip of the moment) | strong_weak (and one outside) | whole_video (Table 2)
    config.positive = "strong_weak"
    config.weak_weight = 0.5  # of the loss of the clip outside (Fig. 5)
    config.strong = Config({"joint_clip": False})  # one clip for both modalities (PREM P4)
    config.mask_same_video = True  # pairs of one video are no negatives of each other (PREM P5)
    config.vq = Config({"neg_scope": "video"})  # video | span of other queries (PREM P7)
    if common.are_simulated(config.target.dataset):
        config.batch_size, config.epochs = 64, 10
    return config.lock()


def shared(dataset: str) -> Config:
    """What both systems of PREM are set to, not locked."""
    config = common.run()
    config.target = common.domain_block(dataset or "simulated_corpus", labels=True, subtitles=True)
    config.target.clip_sampling = "cut"
    config.target.normalize = "l2"  # of the image features, not of the subtitles
    config.clip_seconds = 1.5
    config.modalities = ("image", "sub")  # ("image",) | ("sub",) (PREM P6, Table 2)
    config.sub = Config({"mask_empty": False})  # leave out clips without subtitles (PREM P3)
    config.pooling = "modality"  # of the words: mean | max | modality (Table 3)
    config.dim = 384
    config.heads = 4
    config.dropout = 0.1
    config.act = "relu"  # relu | gelu (PREM P1)
    config.pos = "learned"  # learned | sin (PREM P2)
    config.end_label = "ceil_minus_1"  # ceil_minus_1 | ceil (PREM P10)
    config.temperature = 0.01
    config.optimizer = Config(
        {
            "name": "adamw_linear",
            "learning_rate": 1e-4,
            "betas": (0.9, 0.999),
            "weight_decay": 0.01,
            "warmup": 0.01,  # share of all steps (PREM P9)
            "schedule": "linear",  # linear | constant, after the warm-up (PREM P9)
            "grad_clip": 0.0,
        }
    )
    if dataset == "tvr":
        config.target.update({"features": "slowfast_resnet", "subtitles": "roberta_subtitles"})
        config.target.query_features = "roberta"
    elif common.is_didemo(dataset):
        config.target.update({"features": "slowfast_resnet", "query_features": "roberta"})
        config.target.update({"max_clips": 20, "training_moment": "most_frequent"})
    if common.are_simulated(config.target.dataset):  # sized for two CPU cores
        config.target.normalize = "sqrt_standardize"
        config.dim, config.dropout, config.temperature = 64, 0.0, 0.1
        config.optimizer.learning_rate = 3e-3
    else:
        config.target.max_words = 30
        config.select = "val" if config.target.select_split else "last"  # PREM P9
    if not config.target.subtitles:
        config.modalities = ("image",)
    return config
