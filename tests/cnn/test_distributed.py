"""Devices of the processes that a launcher has started, and what they need installed."""

import runpy
import sys

import pytest
import torch

from hpastack.cnn.distributed import process_group
from hpastack.errors import InputError


@pytest.fixture(autouse=True)
def third_of_four(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("LOCAL_RANK", "2")


def test_a_process_without_a_gpu_of_its_own(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(InputError, match="no GPU for process 2 of this machine, .* has 2 GPUs"):
        process_group("auto").__enter__()


def test_a_device_for_all_processes():
    with pytest.raises(InputError, match="device cuda:0 cannot be shared by 4 processes"):
        process_group("cuda:0").__enter__()


def test_fine_tuning_names_what_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "lightning.pytorch", None)
    # Run anew, whatever other tests have imported.
    monkeypatch.delitem(sys.modules, "hpastack.cnn._lightning", raising=False)
    with pytest.raises(
        InputError, match=r"needs lightning\.pytorch, .* pip install 'hpastack\[cnn\]'"
    ):
        runpy.run_module("hpastack.cnn._lightning")
