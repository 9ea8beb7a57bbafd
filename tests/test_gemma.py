"""The real Gemma-3-270M: from the packages to a reward model, and the main claim. Slow: --slow."""
import json
import subprocess
import sys

import pytest
import torch
import transformers
from conftest import ROOT
from peft import AutoPeftModelForSequenceClassification

import data
import dial
from domains.foods import food_domain
from models import backbones, saving

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
    encoded = data.encode(food_domain("desserts:ko", n_train=8, n_test=1).labeled, gemma[1], 256)
    assert all(text[0] == gemma[1].bos_token_id for _, texts in encoded for text in texts)
    shared, plain = data.pack(encoded), data.pack(encoded, share=False)
    with torch.no_grad():
        a, b = model.embed(shared), model.embed(plain)
    scale = b.norm(dim=1).mean()
    torch.testing.assert_close(a / scale, b / scale, atol=1e-4, rtol=0)
    assert shared["input_ids"].numel() < plain["input_ids"].numel() / 3
    model.backbone.unload()


def test_peft_and_transformers_give_the_saved_rewards(gemma, tmp_path):
    config = dial.DialConfig(lora_rank=4, lora_layers=2)
    model = dial.RewardModel(gemma[0], config)
    for name, p in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(p, std=0.02)
    rows = food_domain("desserts", n_train=8, n_test=4).test
    batch = data.pack(data.encode(rows, gemma[1], 256))
    model.set_scale(batch)
    saving.save(model, gemma[1], config, tmp_path)
    loaded = AutoPeftModelForSequenceClassification.from_pretrained(
        tmp_path, num_labels=1, dtype=torch.float32).eval()
    assert all(row.prompt.endswith("\n") for row in rows)
    texts = [row.prompt + r for row in rows for r in row.responses]
    with torch.no_grad():
        ours = model.eval()(batch)
        rewards = loaded(**gemma[1](texts, return_tensors="pt", padding=True,
                                    padding_side="right")).logits[:, 0]
    assert ours.std() > 1e-3
    torch.testing.assert_close(rewards, ours, atol=1e-4, rtol=1e-4)
    model.backbone.unload()


def test_dial_beats_src_pref_where_the_reward_is_spurious(cache, tmp_path):
    """Desserts to fruits, one seed: minutes."""
    command = [sys.executable, ROOT / "experiments/odd_one_out.py", "--seeds", "0", "--out"]
    subprocess.run([*command, tmp_path], check=True, cwd=ROOT, timeout=3000)
    rows = json.loads((tmp_path / "results.json").read_text())["rows"]
    on_target = {r["method"]: r["mean"] for r in rows if r["metric"] == "accuracy"}
    assert on_target["DIAL"] > on_target["Src-Pref"] + 0.05
