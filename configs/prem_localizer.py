"""PREM's localizer, which finds the moments in the videos that a retriever ranks high.

    python -m vmr_jax.main --config=configs/prem_localizer.py          # simulated corpus
    python -m vmr_jax.main --config=configs/prem_localizer.py:tvr      # Tables 4, 6
    python -m vmr_jax.main --config=configs/prem_localizer.py:didemo   # Table 5

A retriever is trained first, in WORKDIR/first_run; --config.first.checkpoint=WORKDIR_OF_ANOTHER
takes one that is there, a run of configs/prem_retriever.py on the same data. Its ranking gives the
videos to tell the true one from. The argument is any prepared dataset; one that the paper does
not have takes TVR's numbers. Table 6 is the switches `modalities`, `gate`, `lc.enabled` and
`shared_norm`. Without an argument retriever and localizer take 316 seconds on one CPU core;
expected result on simulated_corpus / test: VR/R@1 54.4, SVMR/R@1,IoU=0.5 92.3,
VCMR/R@1,IoU=0.5 59.8; linear_match 10.8, 38.6, 5.2.
Source: Hou et al., ICMR 2024.
"""

from vmr_jax.configs import common, prem_retriever
from vmr_jax.types import Config


def get_config(dataset: str = "") -> Config:
    """The localizer's settings for a dataset, locked: later only these keys can be set."""
    config = prem_retriever.shared(dataset)
    config.system = "prem_localizer"
    config.batch_size = 32
    config.epochs = 15
    config.negatives = 4  # videos beside the true one
    config.first = Config(
        {
            "checkpoint": "",  # a retriever's workdir; "" = one is trained in WORKDIR/first_run
            "scores_file": "",  # in its place: a submission of another system, of which VR is read
            "top": 100,  # ranked videos of a query, of which the negatives are drawn
            "retrieve": 10,  # videos of a query that are searched for its moment
        }
    )
    config.first.retriever = prem_retriever.get_config(dataset)  # what is trained, see checkpoint
    config.first.retriever.clip_seconds = config.get_ref("clip_seconds")  # both read the same clips
    config.gate = "l2"  # l2 | sigmoid | none (PREM P12, Table 6)
    config.head = "conv5_conv1"  # conv5_conv1 | conv5_single | conv3 (PREM P11)
    # Clips on each side of a clip's edges whose difference the heads read too, widths such as
    # (1, 2, 4); none: the paper's heads
    config.edges = ()
    config.shared_norm = True  # False: softmax over the true video alone (PREM P20, Table 6)
    config.lc = Config(
        {
            "enabled": True,  # the relevant-content head (Table 6)
            "weight": 0.8,
            "reduction": "all",  # all | balanced (PREM P14)
            "max_pos": 64,  # segments near a moment, at most (PREM P15)
            "share_fusion": False,  # its first fusion layer is the boundaries' too (PREM P17)
        }
    )
    config.infer = Config(
        {
            "min_l": 0,  # of last clip - first clip (PREM P19)
            "max_l": 23,
            "keep": 100,  # moments of a query
        }
    )
    config.score = Config({"video_weight": 1.0})  # of S^R in Eq. 12 (PREM P18)
    if common.is_didemo(dataset):
        config.negatives = 2
        config.infer.update({"min_l": 3, "max_l": 5})
    if common.are_simulated(config.target.dataset):  # sized for two CPU cores
        config.negatives = 2
        config.epochs = 4
        config.temperature = 0.01  # the paper's; here it only weighs S^R in Eq. 12
    return config.lock()
