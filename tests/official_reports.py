"""Both published prediction files of QVHighlights, and the official reports of them."""

import os
from pathlib import Path

import pytest

_REAL = os.environ.get("VMR_DATA_DIR", "")
FOLDER = Path(_REAL, "golden", "moment_detr_qvhighlights")


def of_each(test):
    """Run a test of `predictions` and `report`, names of files in FOLDER, for both of them."""
    pairs = [
        ("sample_val_preds.jsonl", "sample_val_preds_metrics_raw.json"),
        (
            "ckpt_inference_hl_val_test_code_preds.jsonl",
            "ckpt_inference_hl_val_test_code_preds_metrics.json",
        ),
    ]
    test = pytest.mark.parametrize(("predictions", "report"), pairs)(test)
    return pytest.mark.skipif(not _REAL, reason="VMR_DATA_DIR is not set")(test)
