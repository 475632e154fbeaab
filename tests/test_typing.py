"""The public interface is typed: its modules are checked strictly, and users see its types."""

import ast
from pathlib import Path

import pytest

pytest.importorskip("mypy")

from mypy import api
from mypy.config_parser import parse_config_file
from mypy.options import Options

ROOT = Path(__file__).resolve().parents[1]
STRICT = (
    "disallow_untyped_defs", "disallow_incomplete_defs", "disallow_untyped_calls",
    "disallow_untyped_decorators", "disallow_any_generics", "strict_equality", "extra_checks",
)  # fmt: skip


def public_names():
    """Return (module, name) of each public name, from the only list."""
    stub = ast.parse((ROOT / "hpastack" / "__init__.pyi").read_text(encoding="utf-8"))
    return [
        (f"hpastack.{node.module}", alias.name)
        for node in stub.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    ]


@pytest.fixture(scope="module")
def options():
    found = Options()
    parse_config_file(found, lambda: None, str(ROOT / "setup.cfg"))
    return found


@pytest.mark.parametrize("module", sorted({module for module, _ in public_names()}))
def test_a_public_module_is_checked_strictly(module, options):
    of_module = options.clone_for_module(module)
    assert [name for name in STRICT if not getattr(of_module, name)] == []
    assert not of_module.implicit_reexport


# What a user who calls these gets to know from a type checker.
CALLS = {
    "hs.StackClassifier()": "hpastack.stack.classifier.StackClassifier",
    "hs.read_field({}, 512)": "numpy.ndarray[tuple[Any, ...], numpy.dtype[Any]]",
    "hs.read_fold_plan('folds.csv')": "hpastack.folds.plan.FoldPlan",
    "hs.read_fold_plan('folds.csv').n_folds": "int",
    "hs.macro_f1([[1]], [[1]])": "float",
    "hs.fold_report": "def (",
    "hs.create_backbone('resnet18')": "hpastack.backbones.network.Network",
}


@pytest.mark.slow
def test_public_names_have_types(tmp_path):
    names = [name for _, name in public_names()]
    user = tmp_path / "user.py"
    lines = ["import hpastack as hs", *(f"reveal_type(hs.{name})" for name in names)]
    lines += [f"reveal_type({call})" for call in CALLS]
    user.write_text("\n".join(lines) + "\n", encoding="utf-8")
    # With the settings and the cache of the project's own run, which takes a minute without one.
    said, problems, _ = api.run(
        [f"--config-file={ROOT / 'setup.cfg'}", f"--cache-dir={ROOT / '.mypy_cache'}", str(user)]
    )
    assert not problems
    notes = [line for line in said.splitlines() if "Revealed type is" in line]
    revealed = [line.partition("Revealed type is ")[2].strip('"') for line in notes]
    assert len(revealed) == len(names) + len(CALLS), said
    assert [name for name, kind in zip(names, revealed) if kind == "Any"] == []
    for (call, expected), kind in zip(CALLS.items(), revealed[len(names) :]):
        assert kind.replace("builtins.", "").startswith(expected), f"{call} is {kind}"
