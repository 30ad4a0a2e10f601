"""The imports of the package keep their order, and docs/architecture.md shows them."""

from pathlib import Path

import pytest

from tools import architecture


def test_the_imports_keep_their_order_and_the_page_shows_them(capsys):
    assert architecture.main(["--check"]) == 0, capsys.readouterr().out


def _tree(root: Path, **sources: str) -> dict[str, architecture.Module]:
    """Write modules, `__` for a dot in their names, and read them back."""
    for name, source in sources.items():
        path = root / "vmr_jax" / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
    return architecture.read_tree(root)


@pytest.mark.parametrize(
    ("sources", "broken"),
    [
        (
            {"types": "from vmr_jax import layers", "layers": ""},
            "vmr_jax.types -> vmr_jax.layers is an arrow upward",
        ),
        (
            {"data__text__words": "import vmr_jax.data.tables.store", "data__tables__store": ""},
            "vmr_jax.data.text.words -> vmr_jax.data.tables.store is against the order of data's "
            "wings",
        ),
        (
            {"models__eva__system": "from ..mmn import network", "models__mmn__network": ""},
            "vmr_jax.models.eva.system -> vmr_jax.models.mmn.network reads another paper's code",
        ),
        (
            {"training__loop": "from vmr_jax import simulation", "simulation": ""},
            "vmr_jax.training.loop -> vmr_jax.simulation shows simulated data to code that reads "
            "real data",
        ),
        (
            {"training__loop": "def f():\n    from flax import linen"},
            "vmr_jax.training.loop imports flax, which only models, layers, encoders know",
        ),
        ({"helpers": ""}, "vmr_jax.helpers has no tier in TIERS"),
        (
            {
                "losses__a": "from typing import TYPE_CHECKING\n"
                "if TYPE_CHECKING:\n    from vmr_jax.losses import b",
                "losses__b": "def f():\n    import vmr_jax.losses.a",
            },
            "a cycle: vmr_jax.losses.a -> vmr_jax.losses.b -> vmr_jax.losses.a",
        ),
    ],
)
def test_an_arrow_that_breaks_a_rule_is_named(tmp_path, sources, broken):
    assert architecture.problems(_tree(tmp_path, **sources)) == [broken]


def test_what_the_rules_allow(tmp_path):
    modules = _tree(
        tmp_path,
        models__vdi__system="from vmr_jax.models.mmn import network",
        models__mmn__network="import flax.linen\nfrom vmr_jax.models import switches",
        models__switches="from vmr_jax.types import Array",
        datasets="from vmr_jax import simulation",
        simulation="",
        types="Array = None",
    )
    assert architecture.problems(modules) == []
    assert modules["vmr_jax.models.mmn.network"].libraries == {"flax"}


def test_the_part_of_the_page_is_replaced_and_nothing_else():
    page = f"before\n{architecture.BEGIN}\n\nold\n\n{architecture.END}\nafter\n"
    drawn = architecture.with_part(page, "new")
    assert drawn == page.replace("old", "new")
    with pytest.raises(ValueError, match="lacks one of its markers"):
        architecture.with_part("no markers", "new")
