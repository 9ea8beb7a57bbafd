"""The estimate of memory that --dry-run prints."""
import pytest
import torch
import transformers
from conftest import random_classifier

import data
from dial import DialConfig, RewardModel
from support import cli, memory
from support.paper import Training


def test_memory_counts_weights_and_lora():
    """Against counting on the real module; the rest of the estimate is the activations': see
    test_memory_of_activations."""
    config = random_classifier("gemma").base_model.config
    args = cli.parse(cli.run_flags("", "x", {"steps": 1}), ["--batch-size=1", "--max-length=1"])
    bodies = 2 * sum(p.numel() for p in transformers.AutoModel.from_config(config).parameters())
    lora = 3 * 64 * ((32 + 32) + (32 + 16))  # rank 64, three layers of q and v
    activations = 4 * 3 * 2 * (22 * 32 + 3 * 48)
    assert memory.memory(config, args) == bodies + 16 * lora + activations
    args.max_length = 10  # with --paper the method that reads most counts: 32 pairs of one domain
    args.training = {"Src-Pref": Training(1, 32, "source"), "others": Training(1, 4)}
    assert memory.memory(config, args) == bodies + 16 * lora + 32 * 2 * 10 * activations / 4


@pytest.mark.parametrize("kind", ["gemma", "gemma3_text"])
def test_memory_of_activations(kind):
    """Against the tensors that autograd keeps in bf16, in a shape of Gemma's proportions."""
    classifier = random_classifier(kind, hidden_size=256, intermediate_size=1024, head_dim=64)
    model = RewardModel(classifier.bfloat16(), DialConfig(lora_rank=4)).train()
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    batch = data.pack([data.Encoded(1, [[2] + [3 + i] * 63]) for i in range(4)])

    def kept():
        storages = {}

        def pack(tensor):
            storages[tensor.untyped_storage().data_ptr()] = tensor
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            model.embed(batch)
        size = sum(t.untyped_storage().nbytes() for place, t in storages.items()
                   if place not in weights)
        return size / batch["input_ids"].numel()

    everything = memory.activations(classifier.config, 3, False)
    assert kept() < everything < 1.8 * kept()
    model.transformer.activation_checkpointing_enable({"use_reentrant": False})
    inputs = memory.activations(classifier.config, 3, True) - everything / 3
    assert inputs < kept() < 2 * inputs < everything / 10  # and what comes after the layers
