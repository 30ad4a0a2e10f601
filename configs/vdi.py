"""VDI: visual-dynamic injection into MMN's text encoder (Luo et al., CVPR 2023).

    python -m vmr_jax.main --config=configs/vdi.py                       # simulated data
    python -m vmr_jax.main --config=configs/vdi.py:charades_sta          # Table 2
    python -m vmr_jax.main --config=configs/vdi.py:activitynet_captions
    python -m vmr_jax.main --config=configs/vdi.py:charades_cg           # Tables 1 and 3
    python -m vmr_jax.main --config=configs/vdi.py:activitynet_cg

The argument is any prepared dataset with CLIP ViT-B/32 features `clip` of its frames, their patches
`clip_patches` and the queries' noun chunks (`vmr prepare --noun-chunks spacy`); it takes MMN's
numbers. The text encoder is CLIP's, whose files you name: --config.text.tokenizer=FOLDER
--config.text.weights=FOLDER/model.safetensors. Where there is no validation split a tenth of the
training videos chooses the epoch (VDI D15; --config.select=last trains on all of them). Set
--config.target.eval_split=novel_composition or test_trivial for the
other splits of a CG dataset, --config.eval.query=static or dynamic for the paper's Figure 3.
Without an argument training takes 3 minutes on one CPU core; expected result: R@1,IoU=0.5 69.3
(64.7 to 74.3 in 95 %) on simulated_target / test, location_prior 16.7, linear_match 31.0.
"""

from vmr_jax.configs import common, mmn
from vmr_jax.types import Config

_CLIP = {
    "system": "vdi",
    "text.encoder": "clip",
    "target.max_words": 77,
    "optimizer.slow.freeze_epochs": 0,  # the text encoder is trained from the first epoch (VDI D12)
}


def get_config(dataset: str = "") -> Config:
    """VDI's settings for a dataset, locked: later only these keys can be set."""
    config = mmn.get_config(dataset)
    config.unlock()
    config.update_from_flattened_dict(_CLIP)
    del config.video  # its convolution, which `backbone` decides on
    # clip | vgg | c3d: the kind of features that target.features names. CLIP's go to the map as
    # they are, the others through MMN's 1 x 1 convolution.
    config.backbone = "clip"
    config.target.features = "clip"
    config.target.patches = "clip_patches"  # "" = none, for vdi.sd=False
    config.target.patch_frames = config.map.clips  # frames whose patches are read (VDI D4)
    # clip: patches after the projection of the frame's feature | raw: before it (VDI D3)
    config.patch_proj = "clip"
    config.text.query_mask_mode = "drop"  # drop | token | attention | learned (VDI D1); "" = none
    config.eval.query = "full"  # full | static | dynamic (Fig. 3)
    config.vdi = Config(
        {
            "vc": True,  # visual context injection
            "sd": True,  # spatial dynamic injection
            "schedule": "joint",  # joint | alternate: MMN's losses leave the text encoder (VDI D10)
            "dropout": 0.1,  # of the two Transformer blocks
        }
    )
    config.vc = Config(
        {
            "weight": 0.5,
            "probe": "static",  # static | full | none (VDI D7)
            "reduction": "mean",  # mean | sum of the squares over channels (VDI D5)
            # none | probe: the text encoder does not learn from the query that asks for the context
            # | target: the context is not trained at all (VDI D6)
            "stop_grad": "none",
        }
    )
    config.sd = Config(
        {
            "weight": 0.01,
            "seq": "transformer",  # transformer | lstm (VDI D8)
            # False: only the side of the queries learns (VDI D9). Where both sides learn, nothing
            # keeps all cosines from going to 1, as they do on the simulated data.
            "train_visual": True,
            "same_video": "exclude",  # exclude | keep pairs of queries of one video (VDI D18)
            "l2norm": False,  # frames and patches at length 1 (VDI D19)
        }
    )
    if dataset.endswith("_cg"):
        config.target.eval_split = "novel_word"
    if common.are_simulated(config.target.dataset):
        config.target.update({"features": "simulated", "patches": "simulated_patches"})
        config.target.max_words = 16
    else:
        config.select = "val_or_holdout"
    return config.lock()
