"""VLANet: weakly-supervised retrieval by surrogate proposals (Ma et al., ECCV 2020).

    python -m vmr_jax.main --config=configs/vlanet.py               # simulated data
    python -m vmr_jax.main --config=configs/vlanet.py:charades_sta  # Tables 1 and 3
    python -m vmr_jax.main --config=configs/vlanet.py:didemo        # Table 2
"""

from ml_collections import ConfigDict

from configs import common


def get_config(dataset: str = "") -> ConfigDict:
    """VLANet's settings, locked. `dataset` is any prepared dataset."""
    config = common.run()
    config.system = "vlanet"
    config.target = common.domain(dataset or "simulated_target", labels=False)
    del config.target.windows, config.target.stride  # of sliding windows

    config.dim = 512
    config.batch_size = 128
    config.epochs = 50
    config.optimizer.learning_rate = 1e-4
    config.optimizer.grad_clip = 2.0
    config.margin = 0.5  # Delta
    config.proposals = ConfigDict(
        {
            "stride": 8,
            "stride_unit": "step",  # step | frame (V1)
            "frames_per_clip": 16,
            "widths": (11, 13, 15),  # clips: 176, 208, 240 frames
            "cut": True,
        }
    )
    config.self_attn = True
    config.cross_attn = True
    config.surrogate = True
    config.cascade = ("q2v", "v2q", "q2v")  # V6
    config.cascade_repeat = 1
    config.attn = ConfigDict({"rescale_n": False, "share_weights": False})  # V3, V7
    config.vla = ConfigDict({"reduce": "sum"})  # sum | mean (V2)
    config.query = ConfigDict({"norm_stage": "after_fc"})  # after_fc | before_fc | both (V8)
    config.negatives = ConfigDict({"mode": "reencode", "sides": "query"})  # V4, V5
    config.infer = ConfigDict({"score": "last_q2v", "fill": True})  # V9, V11
    config.eval.nms = 0.999  # removes only windows that were cut to the same span

    if not dataset:  # sized for two CPU cores
        config.dim = 64
        config.batch_size = 64
        config.epochs = 30
        config.optimizer.learning_rate = 1e-3
        config.proposals.update(stride=2, widths=(4, 6, 8))
    return config.lock()
