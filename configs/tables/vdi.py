"""Tables 1 to 3 of VDI (Luo et al., CVPR 2023).

The baseline "MMN + CLIP" is VDI without its two losses. Table 2's MMN with image or video features
is a run of configs/mmn.py.
"""

from vmr_jax.configs.tables import PaperTable, row

CONFIG = "vdi"
_OOD = ("R@1,IoU=0.5", "R@1,IoU=0.7", "mIoU")
_IID = tuple(f"R@{n},IoU={m}" for n in (1, 5) for m in (0.5, 0.7))

BASELINE = {"vdi.vc": False, "vdi.sd": False, "target.patches": "", "text.query_mask_mode": ""}
_CONTEXT = {"vdi.sd": False, "target.patches": ""}
_DYNAMICS = {"vdi.vc": False}


_TABLE_1A = PaperTable(
    "Table 1, Charades: novel words",
    "charades_cg",
    "Charades-CG novel-word",
    _OOD,
    (
        row("WSSL", _OOD, (2.79, 0.73, 7.92)),
        row("TMN", _OOD, (9.43, 4.96, 11.23)),
        row("TSP-PRL", _OOD, (14.83, 2.61, 14.03)),
        row("2D-TAN", _OOD, (29.36, 13.12, 28.47)),
        row("LGI", _OOD, (26.48, 12.47, 27.62)),
        row("VSLNet", _OOD, (25.60, 10.07, 30.21)),
        row("VISA", _OOD, (42.35, 20.88, 40.18)),
        row("MMN + CLIP", _OOD, (43.85, 24.17, 39.50), BASELINE),
        row("VDI", _OOD, (46.47, 28.63, 41.60), {}),
    ),
)
_TABLE_1B = PaperTable(
    "Table 1, ActivityNet: novel words",
    "activitynet_cg",
    "ActivityNet-CG novel-word",
    _OOD,
    (
        row("WSSL", _OOD, (3.09, 1.13, 7.10)),
        row("TMN", _OOD, (9.93, 5.12, 11.38)),
        row("TSP-PRL", _OOD, (18.05, 3.15, 14.34)),
        row("2D-TAN", _OOD, (23.86, 10.37, 28.88)),
        row("LGI", _OOD, (23.10, 9.03, 26.95)),
        row("VSLNet", _OOD, (21.68, 9.94, 29.58)),
        row("VISA", _OOD, (30.14, 15.90, 35.13)),
        row("MMN + CLIP", _OOD, (31.05, 15.48, 33.16), BASELINE),
        row("VDI", _OOD, (32.35, 16.02, 34.32), {}),
    ),
)
_TABLE_2A = PaperTable(
    "Table 2, Charades-STA: the standard split",
    "charades_sta",
    "Charades-STA test",
    _IID,
    (
        row("VideoBert, video-text features", _IID, (32.70, 19.50, 68.10, 46.20)),
        row("MIL-NCE, video-text features", _IID, (37.00, 21.20, 74.30, 50.40)),
        row("LocVTP, video-text features", _IID, (43.60, 26.30, 81.90, 55.30)),
        row("MGSL, video features", _IID, (63.98, 41.03, 93.21, 63.85)),
        row("D-TSG, video features", _IID, (65.05, 42.77, 94.42, 65.16)),
        row("2D-TAN, image features", _IID, (39.70, 23.31, 80.32, 51.26)),
        row("VSL-Net, image features", _IID, (39.20, 20.80, None, None)),
        row("CBLN, image features", _IID, (43.67, 24.44, 88.39, 56.49)),
        row("DCM, image features", _IID, (47.80, 28.00, None, None)),
        row("DRN, image features", _IID, (42.90, 23.68, 87.80, 54.87)),
        row("MMN, image features", _IID, (47.31, 27.28, 83.74, 58.41)),
        row("MMN + CLIP", _IID, (50.48, 29.65, 85.27, 60.67), BASELINE),
        row("VDI", _IID, (52.32, 31.37, 87.03, 62.30), {}),
    ),
)
_TABLE_2B = PaperTable(
    "Table 2, ActivityNet Captions: the standard split",
    "activitynet_captions",
    "ActivityNet Captions val_2",
    _IID,
    (
        row("VideoBert, video-text features", _IID, (37.20, 21.00, 66.70, 53.60)),
        row("MIL-NCE, video-text features", _IID, (41.80, 24.50, 73.50, 57.70)),
        row("LocVTP, video-text features", _IID, (48.20, 30.50, 80.10, 64.70)),
        row("MGSL, video features", _IID, (51.87, 31.42, 82.60, 66.71)),
        row("D-TSG, video features", _IID, (54.29, 33.64, 86.58, 69.36)),
        row("2D-TAN, video features", _IID, (44.51, 26.54, 77.13, 61.96)),
        row("VSL-Net, video features", _IID, (43.22, 26.16, None, None)),
        row("CBLN, video features", _IID, (48.12, 27.60, 79.32, 63.41)),
        row("DCM, video features", _IID, (44.90, 27.70, None, None)),
        row("DRN, video features", _IID, (45.45, 24.36, 77.97, 50.30)),
        row("MMN, video features", _IID, (48.59, 29.26, 79.50, 64.76)),
        row("MMN + CLIP", _IID, (46.89, 27.26, 78.32, 63.47), BASELINE),
        row("VDI", _IID, (48.09, 28.76, 79.69, 64.88), {}),
    ),
)
_TABLE_3 = PaperTable(
    "Table 3: visual context and spatial dynamics",
    "charades_cg",
    "Charades-CG novel-word",
    _OOD,
    (
        row("baseline", _OOD, (43.85, 24.17, 39.50), BASELINE),
        row("L^vc w/o Q", _OOD, (43.12, 25.32, 39.43), _CONTEXT | {"vc.probe": "none"}),
        row("L^vc w/ Q", _OOD, (45.02, 27.63, 40.40), _CONTEXT | {"vc.probe": "full"}),
        row("L^vc w/ Q^s", _OOD, (45.47, 29.35, 40.61), _CONTEXT),
        row("L^sd w/ LSTM", _OOD, (45.32, 25.76, 40.07), _DYNAMICS | {"sd.seq": "lstm"}),
        row("L^sd w/ Transformer", _OOD, (44.60, 26.06, 40.09), _DYNAMICS),
        row("L^vc + L^sd", _OOD, (46.47, 28.63, 41.60), {}),
    ),
)
TABLES = {"1": (_TABLE_1A, _TABLE_1B), "2": (_TABLE_2A, _TABLE_2B), "3": (_TABLE_3,)}
