"""methods/losses.py: by hand, against their gradients' closed forms, and against TRL's."""
import math
from collections import defaultdict
from unittest.mock import MagicMock

import pytest
import torch

from methods.losses import dpo_loss, log_ratio_margin, sft_loss

# log pi(y+), log pi(y-), and the reference's; h = (-2 + 3) - (-5 + 4.5) = 1.5, then -3
CHOSEN, REJECTED = [-2.0, -9.0], [-5.0, -1.0]
REF_CHOSEN, REF_REJECTED = [-3.0, -8.0], [-4.5, -3.0]
H = [1.5, -3.0]
FOUR = [torch.tensor(x, dtype=torch.float64) for x in (CHOSEN, REJECTED, REF_CHOSEN, REF_REJECTED)]


def test_the_margin_by_hand():
    assert log_ratio_margin(*FOUR).tolist() == H


@pytest.mark.parametrize("beta", [0.1, 0.7, 2.0])
def test_dpo_by_hand(beta):
    expected = sum(math.log(1 + math.exp(-beta * h)) for h in H) / 2
    loss = dpo_loss(torch.tensor(H, dtype=torch.float64), beta)
    assert loss.item() == pytest.approx(expected, rel=1e-12)


def test_where_the_policy_is_the_reference():
    h = log_ratio_margin(FOUR[0], FOUR[1], FOUR[0], FOUR[1])
    assert dpo_loss(h, 0.3).item() == pytest.approx(math.log(2))


def test_gradient_of_dpo():
    """Of log pi(y+): - beta sigmoid(- beta h) / P, the opposite of that of log pi(y-)."""
    chosen, rejected = (x.clone().requires_grad_() for x in FOUR[:2])
    dpo_loss(log_ratio_margin(chosen, rejected, *FOUR[2:]), 0.7).backward()
    expected = torch.tensor([-0.7 / (1 + math.exp(0.7 * h)) / 2 for h in H], dtype=torch.float64)
    torch.testing.assert_close(chosen.grad, expected)
    torch.testing.assert_close(rejected.grad, -expected)


def test_sft_by_hand():
    log_probs = torch.tensor([-1.0, -2.0, -6.0])
    assert sft_loss(log_probs).item() == 3
    assert sft_loss(log_probs, torch.tensor([3.0, 0.0, 0.5])).item() == 2  # a mean over texts


@pytest.mark.parametrize("shapes", [((2,), (2,), (2,), (1,)), ((2,), (2,), (), (2,)),
                                    ((2, 1), (2, 1), (2, 1), (2, 1))])
def test_other_shapes(shapes):
    with pytest.raises(ValueError, match="one shape"):
        log_ratio_margin(*map(torch.zeros, shapes))


def test_other_shapes_of_weights():
    with pytest.raises(ValueError, match="a weight for each"):
        sft_loss(torch.zeros(3), torch.ones(3, 1))


def test_against_trl_where_it_is_installed():
    """TRL's loss is in a method that also runs the model: a stand-in gives it our numbers, of
    responses of one token."""
    trl = pytest.importorskip("trl")
    logps = torch.cat(FOUR[:2])  # (2 P,), the chosen first
    output = MagicMock(log_probs=torch.stack([torch.zeros(4), logps], 1),
                       entropy=torch.zeros(4, 2), mean_logits=torch.zeros(4, 2),
                       is_top1=torch.zeros(4, 2) > 0)
    trainer = MagicMock(
        aux_loss_enabled=False, ld_alpha=None, precompute_ref_logps=True, use_weighting=False,
        f_divergence_type="reverse_kl", loss_types=["sigmoid"], loss_weights=[1.0], beta=0.7,
        _metrics=defaultdict(lambda: defaultdict(list)), _total_train_tokens=0, _tp_size=1)
    for gather in ("gather", "gather_for_metrics"):
        setattr(trainer.accelerator, gather, lambda x: x)
    inputs = {"input_ids": torch.ones(4, 3).long(), "attention_mask": torch.ones(4, 3),
              "completion_mask": torch.tensor([[0, 0, 1]] * 4),
              "ref_chosen_logps": FOUR[2], "ref_rejected_logps": FOUR[3]}
    theirs = trl.DPOTrainer._compute_loss(trainer, lambda **_: output, inputs, False)
    ours = dpo_loss(log_ratio_margin(*FOUR), 0.7)
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-6)
