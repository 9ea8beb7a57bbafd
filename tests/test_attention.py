"""The attention of packed rows by itself; test_model.py has it inside seven kinds of backbones."""
import pytest
import torch

from support import attention


@pytest.mark.parametrize("softcap", [None, 3.0])
def test_attention_by_hand(softcap):
    """A causal row of five, a scaling that is not the head size's."""
    torch.manual_seed(0)
    q, k, v = torch.randn(3, 1, 2, 5, 4)
    out, _ = attention.block_attention(None, q, k, v, None, 0.9, softcap=softcap)
    for h in range(2):
        for i in range(5):
            logits = 0.9 * k[0, h, :i + 1] @ q[0, h, i]
            logits = softcap * (logits / softcap).tanh() if softcap else logits
            torch.testing.assert_close(out[0, i, h], logits.softmax(0) @ v[0, h, :i + 1])


def test_attention_drops_as_the_backbone_says():
    torch.manual_seed(0)
    q, k = torch.randn(2, 1, 2, 200, 4)
    out, _ = attention.block_attention(None, q, k, torch.ones(1, 2, 200, 4), None, 0.5, dropout=0.5)
    assert out.std() > 0.05 and out.mean().item() == pytest.approx(1, abs=0.1)
