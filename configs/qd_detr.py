"""QD-DETR: a video's clips read the query before they are encoded (Moon et al., CVPR 2023).

    python -m vmr_jax.main --config=configs/qd_detr.py                # simulated highlights
    python -m vmr_jax.main --config=configs/qd_detr.py:qvhighlights   # Table 1
    python -m vmr_jax.main --config=configs/qd_detr.py:charades_sta

Without an argument training takes 131 s on two CPU cores; expected result: R@1,IoU=0.5 60.5 to
82.4, by the draw, on simulated_highlights / test, location_prior 15.3, linear_match 48.2.
The argument is any prepared dataset. What is not set here is Moment-DETR's, as in the public code
(wjun0830/QD-DETR); each key can be set back alone.
"""

from vmr_jax.configs import common
from vmr_jax.configs.moment_detr import family
from vmr_jax.types import Config


def get_config(dataset: str = "") -> Config:
    """QD-DETR's settings for a dataset, locked: later only these keys can be set."""
    config = family("qd_detr", dataset)
    config.encoder = "cross"
    config.decoder = "anchors"
    config.saliency.update({"head": "token", "negatives": True, "ranking": True})
    if common.are_simulated(config.target.dataset):  # a step takes longer than Moment-DETR's
        config.epochs, config.optimizer.milestones = 20, (16,)
    return config.lock()
