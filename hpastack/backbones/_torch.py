"""The single import of torch, timm and safetensors, which the base install does not require."""

from hpastack.errors import InputError

try:
    import safetensors
    import safetensors.torch  # noqa: F401
    import timm
    import torch
except ModuleNotFoundError as error:
    raise InputError(
        f"CNNs need {error.name}, which is not installed; run: pip install 'hpastack[cnn]'"
    ) from error

__all__ = ["safetensors", "timm", "torch"]
