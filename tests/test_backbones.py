"""--checkpoint and --compile change no gradient, and what cannot be compiled."""
from argparse import Namespace

import pytest
import torch
from conftest import ROWS
from test_model import gradients

import data
from data import InputError
from support import backbones
from support.runs import Job
from support.trainer import Trainer
from support.training import Run


def run_of(args):
    """An untrained run whose LoRA does something."""
    run = Run(Trainer(args), Job("DIAL", 0, [(None, None)]))
    for name, p in run.model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(p, std=0.1, generator=torch.Generator().manual_seed(0))
    return run


def gradients_of(run, rows):
    run.model.zero_grad()
    emb = run.model.train().embed(data.pack(data.encode(rows, run.tokenizer, 512)))
    emb.square().sum().backward()
    return [emb.detach(), *gradients(run.model)]


def test_checkpointing_changes_no_gradient(args):
    """--checkpoint: the same gradients, and the layers are run a second time, going backward."""
    gradient, calls = [], []
    for args.checkpoint in (False, True):
        run = run_of(args)
        layer = run.model.transformer.layers[0].mlp
        layer.register_forward_hook(lambda *a: calls.append(args.checkpoint))
        gradient.append(gradients_of(run, ROWS))
    assert calls == [False, True, True] and len(gradient[0]) > 2
    for a, b in zip(*gradient, strict=True):
        torch.testing.assert_close(b, a, rtol=1e-5, atol=1e-6)


def test_checkpointing_runs_no_layer_again_below_the_first_with_lora(args):
    """Nor in later runs, when peft finds a model whose layers are checkpointed."""
    args.checkpoint, args.config.lora_layers = True, 1
    run = run_of(args)
    for _ in range(2):
        calls = []
        hooks = [layer.mlp.register_forward_hook(lambda *a, i=i: calls.append(i))
                 for i, layer in enumerate(run.model.transformer.layers)]
        gradients_of(run, ROWS)
        assert calls == [*range(len(hooks)), len(hooks) - 1] and len(hooks) > 1
        for hook in hooks:
            hook.remove()
        run.close()
        run = Run(run.trainer, run.job)


@pytest.mark.slow  # most of a minute in the compiler
@pytest.mark.parametrize("checkpoint", [False, True])
def test_compiling_changes_no_gradient(args, checkpoint):
    """--compile: the same for texts of other lengths, and after LoRA has come off and on again."""
    plain = run_of(args)
    args.compile, args.checkpoint = True, checkpoint
    compiled = run_of(args)
    for rows in (ROWS, ROWS[:3]):
        before = torch._dynamo.utils.counters["stats"]["unique_graphs"]
        for a, b in zip(gradients_of(plain, rows), gradients_of(compiled, rows), strict=True):
            torch.testing.assert_close(b, a, rtol=1e-4, atol=1e-4)
    compiled.close()
    gradients_of(Run(compiled.trainer, compiled.job), ROWS)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == before > 0


def test_a_model_that_is_not_compiled(cache, monkeypatch):
    monkeypatch.setattr(backbones, "SHARE_ROWS", ())
    with pytest.raises(InputError, match="--compile takes a model of"):
        backbones.load("tiny", "cpu", "float32", True)


def test_without_a_compiler(cache, monkeypatch):
    def no_compiler(function):
        raise RuntimeError("no g++\nat all")

    monkeypatch.setattr(torch, "compile", no_compiler)
    with pytest.raises(InputError, match="--compile: PyTorch cannot: no g..$"):
        backbones.load("tiny", "cpu", "float32", True)


def test_what_the_flags_of_the_machine_come_to(monkeypatch):
    """So that --resume refuses runs of another precision or device."""
    monkeypatch.setattr(backbones, "pick_dtype", lambda device, name: torch.bfloat16)
    args = Namespace(device="cpu", dtype="auto")
    assert backbones.machine(args) == {"device": "cpu", "dtype": "bfloat16"}
