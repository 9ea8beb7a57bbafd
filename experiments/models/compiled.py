"""--compile: a backbone whose layers PyTorch compiles."""
import torch

from data import InputError
from models.backbones import SHARE_ROWS


def compile_layers(classifier):
    """Let PyTorch join a layer's many small operations, for texts of any length; attention stays as
    it is. Raises InputError where that cannot be done."""
    if classifier.config.model_type not in SHARE_ROWS:
        raise InputError(f"--compile takes a model of {', '.join(SHARE_ROWS)}")
    try:
        torch.compile(torch.neg)(torch.ones(1, device=classifier.device))
    except Exception as error:  # without a C++ compiler, of several types
        raise InputError(f"--compile: PyTorch cannot: {str(error).splitlines()[0]}") from None
    torch._dynamo.config.recompile_limit = 64  # training and measuring, with LoRA and without
    for layer in classifier.base_model.layers:
        layer.compile(dynamic=True)
