"""The attention of packed rows by itself; test_model.py has it inside seven kinds of backbones.
`--attention flex` goes forward on a CPU, without gradients."""
import pytest
import torch
from conftest import random_classifier
from test_batches import mixed_encoded

import cross_lingual
import data
import dial
from data import InputError
from models import attention


@pytest.mark.parametrize("window", [None, 2, 9])
@pytest.mark.parametrize("softcap", [None, 3.0])
def test_attention_by_hand(softcap, window):
    """A causal row of five, a scaling that is not the head size's."""
    torch.manual_seed(0)
    q, k, v = torch.randn(3, 1, 2, 5, 4)
    out, _ = attention.block_attention(None, q, k, v, None, 0.9, softcap=softcap,
                                       sliding_window=window)
    for h in range(2):
        for i in range(5):
            near = slice(max(0, i + 1 - (window or 5)), i + 1)
            logits = 0.9 * k[0, h, near] @ q[0, h, i]
            logits = softcap * (logits / softcap).tanh() if softcap else logits
            torch.testing.assert_close(out[0, i, h], logits.softmax(0) @ v[0, h, near])


def test_attention_drops_as_the_backbone_says():
    torch.manual_seed(0)
    q, k = torch.randn(2, 1, 2, 200, 4)
    out, _ = attention.block_attention(None, q, k, torch.ones(1, 2, 200, 4), None, 0.5, dropout=0.5)
    assert out.std() > 0.05 and out.mean().item() == pytest.approx(1, abs=0.1)


# ------------------------------------------------------------------ --attention flex


@pytest.mark.parametrize("window", [None, 1, 7])
def test_the_mask_of_flex_attention(window):
    """Token by token against the texts themselves: a token sees what is before it in its text."""
    batch = data.pack(mixed_encoded())
    length = batch["input_ids"].shape[1]
    expected = torch.zeros(length + 3, length + 3, dtype=torch.bool)
    for columns in batch["columns"]:
        for i in range(len(columns)):
            first = max(0, i + 1 - (window or len(columns)))
            expected[columns[i], columns[first:i + 1]] = True
    expected[length:, length:] = torch.eye(3).bool()  # what fills the row up, each by itself
    sees = attention.flex_mask(batch["blocks"], 3, window).mask_mod
    column = torch.arange(length + 3)
    assert torch.equal(sees(0, 0, column[:, None], column[None]), expected)


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.parametrize("share", [True, False])
@pytest.mark.parametrize("kind", ["gemma2", "llama"])  # with windows and softcap, and without
def test_flex_attention_embeds_alike(kind, share):
    model = dial.RewardModel(random_classifier(kind), dial.DialConfig(lora_rank=2)).eval()
    batch = data.pack(mixed_encoded(), share=share)
    with torch.no_grad():
        expected = model.embed(batch)
        model.transformer.set_attn_implementation("flex")
        torch.testing.assert_close(model.embed(batch), expected, rtol=1e-4, atol=1e-5)


def test_where_flex_attention_is_used(cache, tmp_path):
    classifier = random_classifier("llama")
    attention.use_flex(classifier, "cuda:1")
    assert classifier.base_model.config._attn_implementation == "flex"
    with pytest.raises(InputError, match="--attention flex takes a model whose rows hold several"):
        attention.use_flex(random_classifier("neox"), "cuda")
    with pytest.raises(InputError, match="--attention flex takes a model without attention_drop"):
        attention.use_flex(random_classifier("llama", attention_dropout=0.1), "cuda")
    with pytest.raises(InputError, match="--attention flex takes --device cuda, not cpu"):
        cross_lingual.main(["--model", "tiny", "--attention", "flex", "--device", "cpu",
                            "--n-train", "9", "--out", str(tmp_path / "x")])
