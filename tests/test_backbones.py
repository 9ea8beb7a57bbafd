"""--gradient-checkpointing and --compile change no gradient; what cannot be compiled; --device and
--dtype."""
import pytest
import torch
from conftest import ROWS, load

import data
from data import InputError
from harness import runs
from models import attention, backbones


def gradients_of(backbone, model, rows):
    """Of an untrained model whose LoRA does something."""
    generator = torch.Generator().manual_seed(0)
    for name, p in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(p, std=0.1, generator=generator)
    model.zero_grad()
    emb = model.train().embed(data.pack(data.encode(rows, backbone.tokenizer, 512)))
    emb.square().sum().backward()
    return [emb.detach(), *(p.grad.clone() for p in model.parameters() if p.grad is not None)]


def test_checkpointing_changes_no_gradient(args):
    """The same gradients, and the layers are run a second time, going backward."""
    gradient, calls = [], []
    for args.gradient_checkpointing in (False, True):
        with runs.new_model(args, backbone := load(args), args.config, 0) as (model, _):
            model.transformer.layers[0].mlp.register_forward_hook(
                lambda *a: calls.append(args.gradient_checkpointing))
            gradient.append(gradients_of(backbone, model, ROWS))
    assert calls == [False, True, True] and len(gradient[0]) > 2
    for a, b in zip(*gradient, strict=True):
        torch.testing.assert_close(b, a, rtol=1e-5, atol=1e-6)


def test_checkpointing_runs_no_layer_again_below_the_first_with_lora(args):
    """Nor in later runs, when peft finds a model whose layers are checkpointed."""
    args.gradient_checkpointing, args.config.lora_layers = True, 1
    backbone = load(args)
    for _ in range(2):
        with runs.new_model(args, backbone, args.config, 0) as (model, _):
            calls = []
            hooks = [layer.mlp.register_forward_hook(lambda *a, i=i: calls.append(i))
                     for i, layer in enumerate(model.transformer.layers)]
            gradients_of(backbone, model, ROWS)
            assert calls == [*range(len(hooks)), len(hooks) - 1] and len(hooks) > 1
            for hook in hooks:
                hook.remove()
    assert not backbone.classifier.is_gradient_checkpointing


@pytest.mark.slow  # most of a minute in the compiler
@pytest.mark.parametrize("checkpoint", [False, True])
def test_compiling_changes_no_gradient(args, checkpoint):
    """--compile: the same for texts of other lengths, and after LoRA has come off and on again."""
    plain = load(args)
    args.compile = True
    backbone = load(args)
    with runs.new_model(args, plain, args.config, 0) as (model, _):
        args.gradient_checkpointing = checkpoint
        with runs.new_model(args, backbone, args.config, 0) as (other, _):
            for rows in (ROWS, ROWS[:3]):
                before = torch._dynamo.utils.counters["stats"]["unique_graphs"]
                for a, b in zip(gradients_of(plain, model, rows),
                                gradients_of(backbone, other, rows), strict=True):
                    torch.testing.assert_close(b, a, rtol=1e-4, atol=1e-4)
        args.gradient_checkpointing = False
    args.gradient_checkpointing = checkpoint
    with runs.new_model(args, backbone, args.config, 0) as (again, _):
        gradients_of(backbone, again, ROWS)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == before > 0


def test_a_model_that_is_not_compiled(cache, monkeypatch):
    monkeypatch.setattr(attention, "SHARE_ROWS", ())
    with pytest.raises(InputError, match="--compile takes a model of"):
        backbones.load("tiny", "cpu", "float32", True)


def test_without_a_compiler(cache, monkeypatch):
    def no_compiler(function):
        raise RuntimeError("no g++\nat all")

    monkeypatch.setattr(torch, "compile", no_compiler)
    with pytest.raises(InputError, match="--compile: PyTorch cannot: no g..$"):
        backbones.load("tiny", "cpu", "float32", True)


def test_what_the_flags_of_the_machine_come_to(monkeypatch):
    """So that finished runs of another precision or device are seen to be that."""
    assert backbones.pick_machine("cpu", "float32") == ("cpu", "float32")
    for cpu, dtype in (({}, "float32"),
                       ({"avx512_bf16": True, "cpu_name": "Intel Xeon"}, "float32"),
                       ({"avx512_bf16": True, "amx_bf16": True}, "bfloat16"),
                       ({"avx512_bf16": True, "cpu_name": "AMD EPYC"}, "bfloat16")):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: cpu, raising=False)
        assert backbones.pick_machine("cpu") == ("cpu", dtype)
    assert backbones.pick_machine("meta") == ("meta", "float32")  # who knows
    monkeypatch.setattr(torch.accelerator, "current_accelerator",
                        lambda check_available: torch.device("meta"))
    assert backbones.pick_machine("auto", "bfloat16") == ("meta", "bfloat16")
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available: None)
    assert backbones.pick_machine("auto", "bfloat16") == ("cpu", "bfloat16")
    with pytest.raises(InputError, match="^--device abacus: "):
        backbones.pick_machine("abacus")
