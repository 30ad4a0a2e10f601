"""Tables 1 to 3 of VLANet (Ma et al., ECCV 2020, arXiv 2008.10238).

Table 3's strides and windows are 16-frame clips of Charades videos (45 on average). On simulated
data, 29 to 37 clips a video, rows stand for them with strides and windows of the same order.
"""

from vmr_jax.configs.tables import PaperTable, Run, published_row

CONFIG = "vlanet"
_RECALLS = tuple(f"R@{n},IoU={m}" for n in (1, 5) for m in (0.3, 0.5, 0.7))
_DIDEMO = ("rank@1", "rank@5", "mIoU")


def _row(name, values, run=None, metrics=_RECALLS):
    return published_row(name, metrics, values, run)


def _grid(stride, widths, simulated_stride, simulated_widths):
    """A row of other strides and windows, in clips."""
    return Run(
        {"proposals.stride": stride, "proposals.widths": widths},
        simulated={"proposals.stride": simulated_stride, "proposals.widths": simulated_widths},
    )


_TABLE_1 = PaperTable(
    "Table 1: against other methods on Charades-STA",
    "charades_sta",
    "Charades-STA test",
    _RECALLS,
    (
        _row("random", (19.78, 11.96, 4.81, 73.62, 52.79, 21.53)),
        _row("VSA-RNN, fully supervised", (None, 10.50, 4.32, None, 48.43, 20.21)),
        _row("VSA-STV, fully supervised", (None, 16.91, 5.81, None, 53.89, 23.58)),
        _row("CTRL, fully supervised", (None, 23.63, 8.89, None, 58.92, 29.52)),
        _row("EFRC, fully supervised", (53.00, 33.80, 15.00, 94.60, 77.30, 43.90)),
        _row("MAN, fully supervised", (None, 46.53, 22.72, None, 86.23, 53.72)),
        _row("TGA", (32.14, 19.94, 8.84, 86.58, 65.52, 33.51)),
        _row("SCN", (42.96, 23.58, 9.97, 95.56, 71.80, 38.87)),
        _row("VLANet", (45.24, 31.83, 14.17, 95.70, 82.85, 33.09), Run()),
    ),
)
_TABLE_2 = PaperTable(
    "Table 2: against other methods on DiDeMo",
    "didemo",
    "DiDeMo test",
    _DIDEMO,
    (
        _row("upper bound", (74.75, 100.0, 96.05), metrics=_DIDEMO),
        _row("random", (3.75, 22.50, 22.64), metrics=_DIDEMO),
        _row("LSTM-RGB-Local", (13.10, 44.82, 25.13), metrics=_DIDEMO),
        _row("Txt-Obj-Retrieval", (16.20, 43.94, 27.18), metrics=_DIDEMO),
        _row("EFRC", (13.23, 46.98, 27.57), metrics=_DIDEMO),
        _row("CCA, fully supervised", (18.11, 52.11, 37.82), metrics=_DIDEMO),
        _row("MCN, fully supervised", (28.10, 78.21, 41.08), metrics=_DIDEMO),
        _row("MAN, fully supervised", (27.02, 81.70, 41.16), metrics=_DIDEMO),
        _row("TGA", (12.19, 39.74, 24.92), metrics=_DIDEMO),
        _row("VLANet", (19.32, 65.68, 25.33), Run(), metrics=_DIDEMO),
    ),
    data="real",
)
_TABLE_3 = PaperTable(
    "Table 3: model variants and ablations on Charades-STA",
    "charades_sta",
    "Charades-STA test",
    _RECALLS,
    (
        _row(
            "stride 4 (176, 208, 240 frames)",
            (44.76, 31.53, 14.78, 77.04, 63.17, 31.80),
            _grid(4, (11, 13, 15), 1, (4, 6, 8)),
        ),
        _row(
            "stride 6 (176, 208, 240)",
            (42.17, 28.60, 12.98, 88.76, 74.91, 34.70),
            _grid(6, (11, 13, 15), 2, (4, 6, 8)),
        ),
        _row("stride 8 (176, 208, 240)", (45.03, 31.82, 14.19, 95.72, 82.82, 33.33), Run()),
        _row(
            "stride 6 (128, 256)",
            (42.39, 28.03, 13.09, 94.70, 73.06, 30.69),
            _grid(6, (8, 16), 2, (3, 9)),
        ),
        _row(
            "stride 6 (176, 240)",
            (42.92, 30.24, 13.57, 95.72, 82.80, 33.46),
            _grid(6, (11, 15), 2, (4, 8)),
        ),
        _row(
            "w/o cross-attention",
            (43.41, 30.08, 13.23, 95.72, 82.41, 33.06),
            Run({"cross_attn": False}),
        ),
        _row(
            "w/o self-attention",
            (42.31, 30.81, 15.38, 95.38, 80.02, 33.76),
            Run({"self_attn": False}),
        ),
        _row(
            "w/o surrogate",
            (35.81, 25.30, 12.26, 80.61, 64.57, 31.31),
            Run({"surrogate": False}),
        ),
        _row("full model", (45.03, 31.82, 14.19, 95.72, 82.82, 33.33), Run()),
    ),
)
TABLES = {"1": (_TABLE_1,), "2": (_TABLE_2,), "3": (_TABLE_3,)}
