"""A small directory of a leaderboard, and its labels."""

import json


def write_lines(path, lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    return path


def labels(path, count=24, split="test"):
    """Labels of `count` queries in half as many videos, some with two windows."""
    lines = []
    for i in range(count):
        windows = [[float(i), i + 10.0]] + ([[60.0, 70.0]] if i % 3 == 0 else [])
        query = f"a person opens door {i}"
        own = {"qid": i, "vid": f"v{i // 2}", "query": query, "duration": 100.0}
        lines.append(own | {"relevant_windows": windows})
    return write_lines(path / f"{split}.jsonl", lines)


def board_folder(path, count=24):
    """Three entries: near the truth, further from it, and answers in words."""
    near = [[[i + 1.0, i + 10.5, 0.9], [60, 69, 0.4]] for i in range(count)]
    far = [[[i + 2.0 + i % 2 * 6, i + 13.0, 0.9], [50, 69, 0.4]] for i in range(count)]
    for name, windows in (("near", near), ("far", far)):
        lines = [{"qid": i, "pred_relevant_windows": own} for i, own in enumerate(windows)]
        write_lines(path / name / "predictions.jsonl", lines)
    (path / "near" / "card.toml").write_text(
        'name = "Near <b>"\nlink = "https://example.org/a?b=1&c"\ncommand = "run --it && done"\n'
    )
    answers = [{"qid": i, "answer": f"From {i} to {i + 10} seconds."} for i in range(1, count)]
    answers[-1]["answer"] = "It is not there."
    write_lines(path / "words" / "answers.jsonl", answers)
    (path / "notes").mkdir()
    return path
