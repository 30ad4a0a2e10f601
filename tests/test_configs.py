"""What the configs say for their arguments, and that they take no other keys."""

import pytest

from vmr_jax.configs import (
    eva,
    mmcda,
    mmn,
    moment_detr,
    prem_localizer,
    prem_retriever,
    qd_detr,
    vdi,
    vlanet,
)


@pytest.mark.parametrize("argument", ["tvr", "tvr,", ",tvr", "a,b,c"])
@pytest.mark.parametrize("system", [eva, mmcda])
def test_the_argument_names_two_datasets(system, argument):
    expected = f"argument is '{argument}'; it must be SOURCE,TARGET, e.g. --config={{}}.py:tvr"
    with pytest.raises(ValueError) as error:
        system.get_config(argument)
    assert expected.format(system.__name__.removeprefix("vmr_jax.").replace(".", "/")) in str(
        error.value
    )


@pytest.mark.parametrize(
    ("argument", "discounted"),
    [
        ("", False),
        ("tvr,charades_sta", False),
        ("charades_cd,tvr", False),
        ("tvr,charades_cd", True),
        ("tvr,activitynet_cd", True),
    ],
)
def test_discounted_recall_is_of_changed_distributions(argument, discounted):
    assert eva.get_config(argument).metric.discounted is discounted


@pytest.mark.parametrize("target", ["didemo", "didemo_simulated"])
def test_didemo_is_scored_by_its_own_metric(target):
    config = eva.get_config(f"tvr,{target}")
    assert config.metric.didemo == "official"
    assert config.eval.to_dict() | {"top_k": 21, "nms": 1.0, "clip_to_duration": False} == (
        config.eval.to_dict()
    )
    assert config.target.windows == (1, 2, 3, 4, 5, 6) and config.target.stride == 1
    other = eva.get_config("didemo,charades_sta")
    assert other.metric.didemo == "" and other.eval.nms == 0.5


def test_vlanet_follows_its_page_on_the_papers_datasets():
    config = vlanet.get_config("charades_sta")
    assert not config.target.labels and config.target.features == "c3d"
    assert (config.proposals.stride, config.proposals.widths) == (8, (11, 13, 15))
    assert not config.attn.rescale_n and not config.attn.share_weights
    assert config.vla.reduce == "sum" and config.infer.score == "last_q2v"
    didemo = vlanet.get_config("didemo")
    assert (didemo.proposals.stride, didemo.proposals.cut) == (1, False)
    assert (didemo.metric.didemo, didemo.eval.top_k, didemo.eval.nms) == ("official", 21, 1.0)
    assert vlanet.get_config("charades_cd").target.max_clips == 96
    mine = vlanet.get_config("mine")
    assert mine.target.dataset == "mine" and mine.attn.rescale_n and mine.vla.reduce == "mean"
    assert vlanet.get_config("simulated_target").dim == vlanet.get_config().dim == 64


def test_mmn_follows_its_page_on_the_papers_datasets():
    config = mmn.get_config("activitynet_captions")
    assert config.target.labels and config.target.normalize == "l2"
    assert (config.target.max_clips, config.map.clips) == (256, 64)
    assert config.map.pooling_counts == (15, 8, 8)
    assert (config.optimizer.learning_rate, config.optimizer.milestones) == (8e-4, (7, 15))
    assert (config.contrastive.weight, config.contrastive.full_epochs) == (0.1, 6)
    assert (config.contrastive.margin, config.optimizer.slow.freeze_epochs) == (0.3, 4)
    tacos = mmn.get_config("tacos")
    assert (tacos.iou.min, tacos.iou.max, tacos.contrastive.positives) == (0.3, 0.7, 3)
    assert (tacos.eval.nms, tacos.score.power, tacos.batch_size) == (0.4, 0.3, 4)
    mine, charades = (mmn.get_config(name) for name in ("mine", "charades_sta"))
    assert mine.map == charades.map
    assert (mine.target.features, charades.target.features) == ("features", "vgg")
    assert mmn.get_config("charades_cd").map == charades.map
    for name in ("activitynet_cd", "activitynet_cg"):
        other = mmn.get_config(name)
        for block in ("map", "optimizer", "contrastive"):
            assert other[block] == config[block]
        assert (other.target.max_clips, other.target.features) == (256, "c3d")
    assert (charades.batch_size, charades.epochs, charades.optimizer.grad_clip) == (48, 18, 5.0)


def test_vdi_follows_its_page_on_the_papers_datasets():
    config = vdi.get_config("charades_sta")
    assert (config.backbone, config.target.features, config.target.eval_split) == (
        "clip",
        "clip",
        "test",
    )
    assert (config.target.patch_frames, config.target.max_words) == (16, 77)
    assert (config.optimizer.slow.factor, config.optimizer.slow.freeze_epochs) == (0.1, 0)
    assert (config.vc.weight, config.sd.weight, config.optimizer.learning_rate) == (0.5, 0.01, 1e-4)
    assert "video" not in config and config.text.encoder == "clip"
    novel = vdi.get_config("activitynet_cg")
    assert (novel.target.eval_split, novel.target.max_clips) == ("novel_word", 256)
    assert (novel.target.patch_frames, novel.optimizer.learning_rate) == (64, 8e-4)
    for name in ("charades_sta", "activitynet_captions"):
        ours, base = vdi.get_config(name), mmn.get_config(name)
        for block in ("map", "iou", "contrastive", "score", "joint_dim"):
            assert ours[block] == base[block]
    assert vdi.get_config().target.patches == "simulated_patches"


def test_mmcda_follows_its_page():
    config = mmcda.get_config("activitynet_captions,charades_sta")
    assert (config.dim, config.joint_dim, config.heads, config.dropout) == (256, 256, 4, 0.1)
    assert (config.batch_size, config.epochs, config.position_rows) == (32, 50, 256)
    assert (config.optimizer.learning_rate, config.optimizer.grad_clip) == (4e-4, 1.0)
    assert config.lambdas.to_dict() == {"da": 1.0, "ca": 0.5, "sa": 0.5}
    assert (config.source.labels, config.target.labels) == (True, False)
    assert config.source.features == config.target.features == "i3d"
    assert (config.select, config.source.select_split) == ("val_or_holdout", "val_1")
    assert mmcda.get_config("tvr,didemo").metric.didemo == "official"
    assert mmcda.get_config().dim == 64


def test_the_detr_family_follows_the_public_code():
    moment, qd = moment_detr.get_config("qvhighlights"), qd_detr.get_config("qvhighlights")
    for config in (moment, qd):
        assert (config.dim, config.heads, config.hidden, config.slots) == (256, 8, 1024, 10)
        assert (config.encoder_layers, config.decoder_layers, config.most_moments) == (2, 2, 5)
        assert (config.dropout, config.input.dropout, config.input.layers) == (0.1, 0.5, 2)
        assert config.weights.to_dict() == {"span": 10, "iou": 1, "label": 4, "nothing": 0.1}
        assert config.cost.to_dict() == {"span": 10, "iou": 1, "label": 4}
        assert (config.saliency.weight, config.saliency.margin) == (1, 0.2)
        assert (config.batch_size, config.epochs, config.eval.nms) == (32, 200, 1.0)
        optimizer = config.optimizer
        assert (optimizer.learning_rate, optimizer.weight_decay) == (1e-4, 1e-4)
        assert (optimizer.grad_clip, optimizer.milestones) == (0.1, ())
        target = config.target
        assert (target.features, target.query_features) == ("slowfast+clip", "clip_text")
        assert (target.max_clips, target.max_words, target.normalize) == (75, 32, "l2")
        assert (config.select, target.eval_split) == ("val", "test")
        assert config.infer.round_to_clips and config.metric.several
    switches = lambda c: (c.encoder, c.decoder, c.saliency.head, c.saliency.negatives)  # noqa: E731
    assert switches(moment) == ("joint", "slots", "linear", False)
    assert switches(qd) == ("cross", "anchors", "token", True)
    assert qd_detr.get_config("charades_sta").saliency.weight == 4
    assert not qd_detr.get_config("didemo").metric.didemo


def test_prem_follows_its_page_on_the_papers_datasets():
    first, second = (system.get_config("tvr") for system in (prem_retriever, prem_localizer))
    for config in (first, second):
        assert (config.dim, config.heads, config.dropout, config.temperature) == (384, 4, 0.1, 0.01)
        assert (config.target.max_clips, config.target.max_words) == (100, 30)
        assert (config.target.clip_sampling, config.target.normalize) == ("cut", "l2")
        assert config.modalities == ("image", "sub") and config.pooling == "modality"
        optimizer = config.optimizer
        assert (optimizer.learning_rate, optimizer.weight_decay) == (1e-4, 0.01)
        assert (optimizer.warmup, optimizer.schedule) == (0.01, "linear")
    assert (first.batch_size, first.epochs, second.batch_size, second.epochs) == (256, 100, 32, 15)
    assert (first.positive, first.weak_weight, second.lc.weight) == ("strong_weak", 0.5, 0.8)
    assert (second.negatives, second.first.top, second.first.retrieve) == (4, 100, 10)
    assert (second.infer.min_l, second.infer.max_l, second.infer.keep) == (0, 23, 100)
    second.update_from_flattened_dict({"clip_seconds": 2.0})
    assert second.first.retriever.clip_seconds == 2.0
    didemo = prem_localizer.get_config("didemo")
    assert (didemo.modalities, didemo.target.subtitles) == (("image",), "")
    assert (didemo.target.max_clips, didemo.target.training_moment) == (20, "most_frequent")
    assert (didemo.negatives, didemo.infer.min_l, didemo.infer.max_l) == (2, 3, 5)
    mine, simulated = (prem_retriever.get_config(name) for name in ("mine", ""))
    assert (mine.dim, mine.modalities, mine.target.query_features) == (384, ("image",), "")
    assert simulated.target.subtitles and simulated.modalities == ("image", "sub")
    assert prem_retriever.get_config("simulated_corpus") == simulated


@pytest.mark.parametrize(
    "get_config",
    [
        eva.get_config,
        mmcda.get_config,
        vlanet.get_config,
        mmn.get_config,
        vdi.get_config,
        prem_retriever.get_config,
        prem_localizer.get_config,
        moment_detr.get_config,
        qd_detr.get_config,
    ],
)
@pytest.mark.parametrize("key", ["epoch", "optimizer.lr", "losses.alignn", "target.window"])
def test_new_keys_are_refused(get_config, key):
    with pytest.raises(KeyError, match="the config is locked|was not found"):
        get_config().update_from_flattened_dict({key: 1})
