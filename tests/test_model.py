"""The reward model: sharing prompts changes nothing, nor does the batch an example is in."""
import pytest
import torch
from conftest import ROWS, random_classifier

import data
from dial import DialConfig, RewardModel

SMALL = DialConfig(lora_rank=4, lora_alpha=4)


def random_encoded(seed=0, rows=5):
    """Records of random tokens: prompts of 5-20, three responses of 1-9."""
    g = torch.Generator().manual_seed(seed)

    def tokens(low, high):
        n = int(torch.randint(low, high + 1, (), generator=g))
        return torch.randint(3, 300, (n,), generator=g).tolist()

    return [([2, *tokens(5, 20)], [tokens(1, 9) for _ in range(3)]) for _ in range(rows)]


@pytest.mark.parametrize("attention", ["its own", "eager"])
@pytest.mark.parametrize("kind", ["gemma", "gemma2", "gemma3", "llama", "mistral"])
def test_shared_and_plain_embeddings_agree(kind, attention):
    classifier = random_classifier(kind)
    if attention == "eager":
        classifier.set_attn_implementation(attention)
    model = RewardModel(classifier, SMALL).eval()
    assert model.shares_prompts
    encoded = random_encoded()
    with torch.no_grad():
        shared, plain = (model.embed(data.pack(encoded, share=share)) for share in (True, False))
    assert shared.shape == (15, 32) and shared.dtype == torch.float32
    torch.testing.assert_close(shared, plain, atol=1e-4, rtol=1e-4)
    assert (plain[0] - plain[1]).norm() > 0.1 * plain[0].norm()  # responses do make a difference


def test_plain_embeddings_are_those_of_one_sequence_alone():
    """The oracle: transformers on a single sequence, no padding, no mask, no positions given."""
    model = RewardModel(random_classifier("gemma3"), SMALL).eval()
    encoded = random_encoded(1)
    with torch.no_grad():
        packed = model.embed(data.pack(encoded, share=True))
        inputs = [torch.tensor([prefix + s]) for prefix, suffixes in encoded for s in suffixes]
        alone = [model.transformer(input_ids=ids, use_cache=False).last_hidden_state[0, -1]
                 for ids in inputs]
    torch.testing.assert_close(packed, torch.stack(alone), atol=1e-4, rtol=1e-4)


def test_a_backbone_without_such_masks_falls_back():
    """Bloom's positions come from a 2D mask: it must say it cannot share prompts, not be wrong."""
    config = DialConfig(lora_rank=4, lora_alpha=4, lora_modules="query_key_value")
    model = RewardModel(random_classifier("bloom"), config).eval()
    assert not model.shares_prompts
    with torch.no_grad():
        model.embed(data.pack(random_encoded(), share=False))


def test_rewards_do_not_depend_on_the_batch(tiny, config):
    model = RewardModel(tiny[0], config).eval()
    torch.nn.init.normal_(model.reward_head.weight)
    encoded = data.encode(ROWS, tiny[1], 512)
    with torch.no_grad():
        together = model(data.pack(encoded))
        alone = torch.cat([model(data.pack([row])) for row in encoded])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)


def test_head_and_embeddings_are_fp32_over_a_bf16_body(tiny, config):
    model = RewardModel(tiny[0].bfloat16(), config)
    assert model.reward_head.weight.dtype == torch.float32
    batch = data.pack(data.encode(ROWS[:2], tiny[1], 512))
    assert model.embed(batch).dtype == torch.float32 and model(batch).dtype == torch.float32
    assert all(p.dtype == torch.float32 for p in model.parameters() if p.requires_grad)


def test_inputs_of_lora_stay_in_bf16_and_that_changes_no_bit(tiny, config):
    """Against peft's own way, which casts them to fp32, for autocast to cast them back."""
    model = RewardModel(tiny[0].bfloat16(), config)
    batch, found = data.pack(data.encode(ROWS[:2], tiny[1], 512)), []
    for name, p in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(p, std=0.1)
    for cast in (False, True):
        for module in model.modules():
            if hasattr(module, "cast_input_dtype_enabled"):
                assert cast or not module.cast_input_dtype_enabled
                module.cast_input_dtype_enabled = cast
        model.zero_grad()
        emb = model.embed(batch)
        emb.square().sum().backward()
        found.append([emb, *(p.grad for n, p in model.named_parameters() if "lora_" in n)])
    assert all(torch.equal(a, b) for a, b in zip(*found))


def test_only_lora_and_head_are_trained_and_only_in_the_top_layers(tiny):
    model = RewardModel(tiny[0], DialConfig(lora_rank=4, lora_layers=1))
    trained = [name for name, p in model.named_parameters() if p.requires_grad]
    assert "reward_head.weight" in trained
    layers = {name.split("layers.")[1].split(".")[0] for name in trained if "lora_" in name}
    assert layers == {"3"} and len(trained) == 1 + 4  # q_proj and v_proj, A and B


def test_scale_makes_the_mean_norm_one(tiny, config):
    model = RewardModel(tiny[0], config)
    batch = data.pack(data.encode(ROWS, tiny[1], 512))
    before = model.embed(batch)
    model.set_scale(batch)
    after = model.embed(batch)
    assert after.norm(dim=1).mean().item() == pytest.approx(1, abs=1e-5)
    torch.testing.assert_close(after * model.scale, before)


def test_no_vocabulary_logits(tiny, config):
    model = RewardModel(tiny[0], config)
    vocabulary = model.transformer.config.vocab_size
    outputs = [m.out_features for m in model.modules() if isinstance(m, torch.nn.Linear)]
    assert vocabulary not in outputs


def test_unknown_lora_modules(tiny):
    with pytest.raises(ValueError, match="no_such_layer"):
        RewardModel(tiny[0], DialConfig(lora_modules="no_such_layer"))


@pytest.mark.parametrize("wrong", [
    {"steps": 0}, {"learning_rate": float("nan")}, {"lambda_da": -1.0}])
def test_config_rejects_nonsense(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        DialConfig(**wrong)
