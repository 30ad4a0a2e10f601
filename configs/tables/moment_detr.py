"""Tables 3 and 6 of Moment-DETR (Lei et al., NeurIPS 2021, arXiv 2107.09609).

Pre-training is on captions of speech, which is not a part of this library.
"""

from vmr_jax.configs.tables import PaperTable, row
from vmr_jax.configs.tables.qd_detr import HIGHLIGHTS, RECALLS

CONFIG = "moment_detr"
_TABLE_3 = PaperTable(
    "Table 3: QVHighlights",
    "qvhighlights",
    "QVHighlights test",
    HIGHLIGHTS,
    (
        row("Moment-DETR", HIGHLIGHTS, (52.89, 33.02, 54.82, 29.40, 30.73, 35.69, 55.60), {}),
        row(
            "Moment-DETR, pre-trained",
            HIGHLIGHTS,
            (59.78, 40.33, 60.51, 35.36, 36.14, 37.43, 60.17),
        ),
    ),
)
_TABLE_6 = PaperTable(
    "Table 6: Charades-STA",
    "charades_sta",
    "Charades-STA test",
    RECALLS,
    (
        row("Moment-DETR", RECALLS, (None, None), {}),
        row("Moment-DETR, pre-trained", RECALLS, (55.65, 34.17)),
    ),
)
TABLES = {"3": (_TABLE_3,), "6": (_TABLE_6,)}
