"""The attention of packed rows by itself; test_model.py has it inside seven kinds of backbones."""
import pytest
import torch

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
