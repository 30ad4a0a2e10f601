"""QVHighlights and Charades-STA in QD-DETR (Moon et al., CVPR 2023, arXiv 2303.13874).

The numbers are those of its Table 1 and of its rows in later papers' tables of Charades-STA, with
SlowFast's and CLIP's features. Moment-DETR is a row of the same implementation.
"""

from vmr_jax.configs.tables import PaperTable, row

CONFIG = "qd_detr"
RECALLS = ("R@1,IoU=0.5", "R@1,IoU=0.7")
HIGHLIGHTS = (
    *RECALLS,
    "mAP@0.5",
    "mAP@0.75",
    "mAP",
    "HL-min-VeryGood-mAP",
    "HL-min-VeryGood-Hit1",
)
_MOMENT_DETR = {
    "encoder": "joint",
    "decoder": "slots",
    "saliency.head": "linear",
    "saliency.negatives": False,
    "saliency.ranking": False,
}
_TABLE_1 = PaperTable(
    "Table 1: QVHighlights",
    "qvhighlights",
    "QVHighlights test",
    HIGHLIGHTS,
    (
        row(
            "Moment-DETR",
            HIGHLIGHTS,
            (52.89, 33.02, 54.82, 29.40, 30.73, 35.69, 55.60),
            _MOMENT_DETR,
        ),
        row("QD-DETR", HIGHLIGHTS, (62.40, 44.98, 62.52, 39.88, 39.86, 38.94, 62.40), {}),
        row("QD-DETR, with audio", HIGHLIGHTS, (63.06, 45.10, 63.04, 40.10, 40.19, 39.04, 62.87)),
    ),
)
_CHARADES = PaperTable(
    "Charades-STA, SlowFast and CLIP",
    "charades_sta",
    "Charades-STA test",
    RECALLS,
    (row("QD-DETR", RECALLS, (57.31, 32.55), {}),),
)
TABLES = {"1": (_TABLE_1,), "charades": (_CHARADES,)}
