"""The reward model: sharing prompts changes nothing, nor does the batch an example is in."""
import pytest
import torch
from conftest import ROWS, random_classifier
from test_batches import mixed_encoded, random_encoded, texts_of

import data
from dial import DialConfig, RewardModel
from models import backbones

SMALL = DialConfig(lora_rank=4, lora_alpha=4)


def with_lora(classifier, config=SMALL):
    """A model whose LoRA is not 0, so that all its matrices have a gradient."""
    model = RewardModel(classifier, config)
    for name, p in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(p, std=0.1)
    return model


def gradients(model):
    return [p.grad for p in model.parameters() if p.requires_grad and p.grad is not None]


CAPPED = ("gemma2", dict(attn_logit_softcapping=0.5))


@pytest.mark.parametrize("kind, changes, block", [
    *((kind, {}, 4) for kind in backbones.SHARE_ROWS),
    ("qwen2", dict(sliding_window=7, use_sliding_window=True, max_window_layers=1), 4),
    ("mistral", dict(num_hidden_layers=1), 4),
    ("llama", dict(num_attention_heads=4, num_key_value_heads=2), 4), (*CAPPED, 4),
    ("gemma3_text", {}, 64), ("llama", {}, 64), (*CAPPED, 64),  # one block has the whole row
])
def test_packed_rows_are_exact(kind, changes, block, monkeypatch):
    """The oracle: transformers' own attention on each text alone, without padding or positions.
    Embeddings and the gradients of LoRA agree, also where windows are shorter than a text, where a
    text is there twice, and where it is what others begin with."""
    monkeypatch.setattr(data, "BLOCK", block)
    classifier = random_classifier(kind, **changes)
    model, encoded, outputs = with_lora(classifier).eval(), mixed_encoded(), []
    texts = texts_of(encoded)
    assert max(map(len, texts)) > 20 and len(set(map(tuple, texts))) < len(texts) == 23
    torch.manual_seed(1)
    weight = torch.randn(23, 32)
    masks = data.pack(encoded)["blocks"].masks()
    assert len(masks) > (1 if block == 64 else 10)
    assert any(mask is None for mask in masks) == (block == 4)

    def alone():
        return torch.stack([model.transformer(
            input_ids=torch.tensor([text]), use_cache=False).last_hidden_state[0, -1]
            for text in texts])

    for embed in (alone, lambda: model.embed(data.pack(encoded)),
                  lambda: model.embed(data.pack(encoded, share=False))):
        classifier.set_attn_implementation("blocks" if outputs else "eager")
        model.zero_grad()
        emb = embed()
        (emb * weight).sum().backward()
        outputs.append([emb, *gradients(model)])
    layers = classifier.config.num_hidden_layers
    assert len(outputs[0]) == 1 + 4 * layers and emb.shape == (23, 32)
    for other in outputs[1:]:
        for a, b in zip(outputs[0], other, strict=True):
            torch.testing.assert_close(b, a, atol=1e-4 * max(1, a.abs().max().item()), rtol=1e-4)
    assert (emb[0] - emb[1]).norm() > 0.1 * emb[0].norm()  # responses do make a difference


def test_a_packed_batch_takes_an_attention_that_reads_its_blocks():
    classifier = random_classifier("llama")
    classifier.set_attn_implementation("eager")
    with pytest.raises(ValueError, match="attention that reads them"):
        with_lora(classifier).embed(data.pack(random_encoded()))


def test_a_backbone_without_such_masks_does_not_share():
    """Bloom's positions come from a 2D mask: it takes one text a row."""
    config = DialConfig(lora_rank=4, lora_alpha=4, lora_modules="query_key_value")
    model = RewardModel(random_classifier("bloom"), config).eval()
    assert "bloom" not in backbones.SHARE_ROWS
    encoded = random_encoded()
    with torch.no_grad():
        together = model(data.pack(encoded, share=False))
        alone = torch.cat([model(data.pack([row], share=False)) for row in encoded])
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-4)


def test_rewards_do_not_depend_on_the_batch(tiny, config):
    model = with_lora(tiny[0], config).eval()
    encoded = data.encode(ROWS, tiny[1], 512)
    with torch.no_grad():
        together = model(data.pack(encoded))
        alone = torch.cat([model(data.pack([row])) for row in encoded])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)
    assert together.std() > 0.01 and together.shape == (24,)


def test_head_and_embeddings_are_fp32_over_a_bf16_body(tiny, config):
    model = RewardModel(tiny[0].bfloat16(), config)
    batch = data.pack(data.encode(ROWS[:2], tiny[1], 512))
    assert model.hidden_states(batch).dtype == torch.bfloat16
    assert model.embed(batch).dtype == torch.float32 and model(batch).dtype == torch.float32
    assert all(p.dtype == torch.float32 for p in model.parameters() if p.requires_grad)


def test_the_scale_divides_in_fp32(tiny, config):
    model = RewardModel(tiny[0].bfloat16(), config)
    batch = data.pack(data.encode(ROWS[:2], tiny[1], 512))
    model.scale.fill_(3.0)
    with torch.no_grad():
        last = model.hidden_states(batch)[batch["last_row"], batch["last_column"]]
        torch.testing.assert_close(model.embed(batch) * 3, last.float(), rtol=1e-6, atol=0)


def test_inputs_of_lora_stay_in_bf16_and_that_changes_no_bit(tiny, config):
    """Against peft's own way, which casts them to fp32, for autocast to cast them back."""
    model = with_lora(tiny[0].bfloat16(), config)
    batch, outputs = data.pack(data.encode(ROWS[:2], tiny[1], 512)), []
    for cast in (False, True):
        for module in model.modules():
            if hasattr(module, "cast_input_dtype_enabled"):
                assert cast or not module.cast_input_dtype_enabled
                module.cast_input_dtype_enabled = cast
        model.zero_grad()
        emb = model.embed(batch)
        emb.square().sum().backward()
        outputs.append([emb, *gradients(model)])
    assert len(outputs[0]) > 1 and all(torch.equal(a, b) for a, b in zip(*outputs))


@pytest.mark.parametrize("lora_layers, expected", [(1, {"3"}), (3, {"1", "2", "3"}),
                                                   (0, {"0", "1", "2", "3"})])
def test_only_lora_and_head_are_trained_in_the_top_layers(tiny, lora_layers, expected):
    config = DialConfig(lora_rank=4, lora_alpha=12, lora_layers=lora_layers)
    model = RewardModel(tiny[0], config)
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    assert trained.pop("reward_head.weight").shape == (1, 32) and model.reward_head.bias is None
    assert {name.split("layers.")[1].split(".")[0] for name in trained} == expected
    assert all("q_proj.lora_" in name or "v_proj.lora_" in name for name in trained)
    assert all(4 in p.shape for p in trained.values())
    adapted = [m for m in model.modules() if hasattr(m, "lora_A")]
    assert {m.scaling["default"] for m in adapted} == {3.0}  # alpha / rank
    assert 0.5 < model.reward_head.weight.norm() < 2


def test_an_untrained_model_is_the_backbone(tiny, config):
    """LoRA begins at 0: the embeddings are those of the plain transformer."""
    batch = data.pack(data.encode(ROWS[:1], tiny[1], 512), share=False)
    with torch.no_grad():
        plain = tiny[0].base_model(input_ids=batch["input_ids"]).last_hidden_state
        emb = RewardModel(tiny[0], config).embed(batch)
    torch.testing.assert_close(emb, plain[torch.arange(3), batch["last_column"]])


def test_scale_makes_the_mean_norm_one(tiny, config):
    model = RewardModel(tiny[0], config)
    batch = data.pack(data.encode(ROWS, tiny[1], 512))
    before = model.embed(batch)
    model.set_scale(batch)
    after = model.embed(batch)
    assert after.norm(dim=1).mean().item() == pytest.approx(1, abs=1e-5)
    torch.testing.assert_close(after * before.norm(dim=1).mean(), before)
    torch.testing.assert_close(model(batch), (after @ model.reward_head.weight.T)[:, 0])


def test_no_vocabulary_logits(tiny, config):
    model = RewardModel(tiny[0], config)
    outputs = [m.out_features for m in model.modules() if isinstance(m, torch.nn.Linear)]
    assert outputs and model.transformer.config.vocab_size not in outputs


def test_unknown_lora_modules(tiny):
    with pytest.raises(ValueError, match="no linear layer 'no_such', there are .*q_proj"):
        RewardModel(tiny[0], DialConfig(lora_modules="q_proj,no_such"))


@pytest.mark.parametrize("wrong", [
    {"steps": 0}, {"critic_steps": 0}, {"learning_rate": float("nan")}, {"lambda_da": -1.0},
    {"lambda_gp": float("inf")}, {"lora_rank": 0}])
def test_config_rejects_nonsense(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        DialConfig(**wrong)
