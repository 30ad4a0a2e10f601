"""EVA: hybrid-learning video moment retrieval (Cai, Huang, Gong; BMVC 2022).

    python -m vmr_jax.main --config=configs/eva.py                      # the simulated pair
    python -m vmr_jax.main --config=configs/eva.py:tvr,charades_sta     # Tables 2 and 3a
    python -m vmr_jax.main --config=configs/eva.py:tvr,activitynet_captions  # Tables 2, 3b, 5, 6
    python -m vmr_jax.main --config=configs/eva.py:tvr,charades_cd      # Table 4

The argument is SOURCE,TARGET: any two prepared datasets with the same kind of features.
Table 7 reads I3D of all datasets: --config.source.features=i3d --config.target.features=i3d.
Without the argument, training on the simulated data takes 161 seconds on one CPU core; expected
result: R@1,IoU=0.5 36.0 (32.3 to 39.7 in 95 %) on simulated_target / test (300 queries),
location_prior 16.7, linear_match 27.7.
"""

from vmr_jax.configs import common
from vmr_jax.types import Config


def get_config(domains: str = "") -> Config:
    """EVA's settings, locked: later only these keys can be set. `domains` is "SOURCE,TARGET".

    Raises ValueError if `domains` does not name two datasets.
    """
    source, target = common.source_and_target(domains, "eva")
    config = common.run()
    config.system = "eva"
    config.source = common.domain_block(source, labels=True, windows=True)
    config.target = common.domain_block(target, labels=False, windows=True)
    if domains:
        config.source.features = config.target.features

    common.evaluate_as(config, target)

    config.dim = 256
    config.dropout = 0.1
    config.init = "xavier"  # xavier | normal002
    config.attn = Config({"layer_norm": "none", "heads": 1})  # none | post (EVA A2)
    config.fusion = Config({"fc_out": "d"})  # d | 2d | identity (EVA A3)
    config.cross_position = "after_self2"  # after_self2 | after_self1 | before_self2 (EVA A4)
    config.cross_update = "parallel"  # parallel | sequential (EVA A5)
    config.query_pool_stage = "after"  # after | before (EVA A6)
    config.boundary_prob = "softmax"  # softmax | sigmoid_bce | sigmoid_nll (EVA A7)
    config.proposals = Config({"add_full": False, "tail": False})  # EVA A18
    config.branches = Config({"weak": True, "full": True})  # Table 5: WR, FA
    config.full = Config({"match": "clips"})  # clips | proposals | sim_max (EVA A11)
    config.share = ("cross",)  # of self1, self2, cross, head, proj (EVA A12, Table 6)
    config.losses = Config({"align": True, "domain": True})  # Table 5
    config.lambdas = Config(  # of the losses; "lambda" cannot be a flag
        {"r": 0.1, "f": 1.0, "vid": 0.8, "domain": 0.01, "align": 1.0}
    )
    config.domain = Config(
        {
            "form": "grl_plus",  # grl_plus | minus_no_grl | literal (EVA A8)
            "out": "softmax2",  # softmax2 | sigmoid (EVA A9)
            "act": "relu",  # relu | none (EVA A10)
            "extra_mmd": "pooled_domain",  # pooled_domain | cross_modal | none (EVA A15)
        }
    )
    config.mmd = common.mmd()
    config.pretrain = "none"  # none | source_finetune | unlabelled_source (Table 5)
    config.pretrain_epochs = 0  # of source_finetune's first stage, on the source; 0: as `epochs`

    if common.are_simulated(source, target):  # sized for two CPU cores
        config.dim, config.dropout = 64, 0.0
        config.epochs = 24
        config.optimizer.learning_rate = 2e-3
    return config.lock()
