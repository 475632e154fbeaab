"""Fixtures of the tests of CNNs, which train on the fields of `shapes`.

Torch is imported inside them: a few of these tests run without it.
"""

import numpy as np
import pytest

from hpastack.catalogue import read_catalogue
from hpastack.folds import read_fold_plan


@pytest.fixture(scope="session")
def catalogue(shapes):
    return read_catalogue(shapes.catalogue)


@pytest.fixture(scope="session")
def plan(shapes):
    return read_fold_plan(shapes.folds)


@pytest.fixture(scope="session")
def vocabulary(shapes):
    return shapes.vocabulary()


@pytest.fixture(scope="session")
def alone():
    """One process on the CPU."""
    import torch

    from hpastack.cnn import Processes

    return Processes(0, 1, torch.device("cpu"))


@pytest.fixture(scope="session")
def fold_fields(catalogue, plan, vocabulary):
    """The fields of the model that is trained without fold 0; every sixth is a validation field."""
    from hpastack.cnn.field_source import FieldSource
    from hpastack.cnn.lightning_module import FoldFields

    training = catalogue[catalogue["split"] == "train"]
    fold = plan.frame["fold"].loc[training.index].to_numpy()
    learnt = np.flatnonzero(fold != 0)
    return FoldFields(
        FieldSource(training, 32), vocabulary.indicator(training["target"]),
        train=learnt, held_out=np.flatnonzero(fold == 0),
    )  # fmt: skip


@pytest.fixture
def small_model():
    from hpastack.backbones import create_backbone

    return create_backbone("test_resnet", weights="random", size=32, num_classes=3)
