"""The real Gemma-3-270M: from the packages to a reward model, and the main claim. Slow: --slow."""
import json

import pytest
import torch
import transformers
from test_scripts import run

import backbones
import data
import dial
from foods import food_domain

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def gemma(cache):
    return backbones.load("gemma-3-270m", "cpu", "float32")


def test_the_weights_are_a_language_model(gemma, cache):
    """Dequantised wrongly (a norm's offset, a transposed matrix), it would not know this."""
    tokenizer = gemma[1]
    model = transformers.AutoModelForCausalLM.from_pretrained(
        cache / "gemma-3-270m", dtype=torch.float32)
    with torch.no_grad():
        for text, likely, unlikely in (("The capital of France is the city of", " Paris", " Tokyo"),
                                       ("One, two, three,", " four", " nine"),
                                       ("서울은 대한민국의", " 수도", " 사과")):
            logits = model(**tokenizer(text, return_tensors="pt")).logits[0, -1]
            a, b = (tokenizer(t, add_special_tokens=False)["input_ids"][0]
                    for t in (likely, unlikely))
            assert logits[a] > logits[b] + 1


def test_shared_prompts_are_exact(gemma):
    model = dial.RewardModel(gemma[0], dial.DialConfig(lora_rank=4)).eval()
    assert model.shares_prompts
    encoded = data.encode(food_domain("desserts:ko", n_train=8, n_test=1).labeled, gemma[1], 256)
    assert all(prefix[0] == gemma[1].bos_token_id for prefix, _ in encoded)
    shared, plain = data.pack(encoded), data.pack(encoded, share=False)
    with torch.no_grad():
        a, b = model.embed(shared), model.embed(plain)
    scale = b.norm(dim=1).mean()
    torch.testing.assert_close(a / scale, b / scale, atol=1e-4, rtol=0)
    assert shared["input_ids"].numel() < plain["input_ids"].numel() / 3
    model.backbone.unload()


def test_save_and_load(gemma, tmp_path):
    config = dial.DialConfig(lora_rank=4, lora_layers=2)
    model = dial.RewardModel(gemma[0], config)
    for name, p in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(p, std=0.02)
    rows = data.encode(food_domain("desserts", n_train=8, n_test=4).test, gemma[1], 256)
    model.set_scale(data.pack(rows))
    dial.save(model, gemma[1], dial.Critic(640), config, tmp_path)
    again, *_ = dial.load(tmp_path)
    with torch.no_grad():
        a, b = model.eval()(data.pack(rows)), again.eval()(data.pack(rows))
    assert a.std() > 1e-3
    torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)


def test_dial_beats_src_pref_where_the_reward_is_spurious(cache, tmp_path):
    """Desserts to fruits, one seed: minutes."""
    result = run("experiments/odd_one_out.py", "--seeds", "0", "--out", tmp_path, timeout=3000)
    assert result.returncode == 0, result.stderr
    rows = json.loads((tmp_path / "results.json").read_text())["rows"]
    on_target = {r["method"]: r["mean"] for r in rows if r["metric"] == "accuracy"}
    assert on_target["DIAL"] > on_target["Src-Pref"] + 0.05
