"""PPO's formulas, functions of tensors, against hand computations."""
import math

import pytest
import torch

from rlhf import ppo


def test_token_rewards_of_three_actions():
    real = torch.tensor([[1, 1, 1], [1, 1, 0]])
    log_probs = torch.tensor([[-1.0, -2.0, -3.0], [-1.0, -1.0, -9.0]])
    ref = torch.tensor([[-2.0, -2.0, -1.0], [-3.0, -1.0, 5.0]])
    rewards = ppo.token_rewards(torch.tensor([4.0, -2.0]), log_probs, ref, real, 0.1)
    expected = [[-0.1, 0.0, 4.2], [-0.2, -2.0, 0.0]]
    torch.testing.assert_close(rewards, torch.tensor(expected))


def test_advantages_of_three_actions_by_hand():
    # delta_3 = 4 - 3; delta_2 = 1 + 3 - 2; delta_1 = 0 + 2 - 1
    # A_3 = 1; A_2 = 2 + .5 * 1; A_1 = 1 + .5 * 2.5
    advantages, returns = ppo.advantages_and_returns(
        torch.tensor([[0.0, 1.0, 4.0, 0.0]]), torch.tensor([[1.0, 2.0, 3.0, 50.0]]),
        torch.tensor([[1, 1, 1, 0]]), 0.5)
    torch.testing.assert_close(advantages, torch.tensor([[2.25, 2.5, 1.0, 0.0]]))
    torch.testing.assert_close(returns, torch.tensor([[3.25, 4.5, 4.0, 0.0]]))


def test_with_lambda_1_returns_are_the_sums_of_rewards_to_come():
    torch.manual_seed(0)
    rewards, values = torch.randn(3, 6), torch.randn(3, 6)
    _, returns = ppo.advantages_and_returns(rewards, values, torch.ones(3, 6), 1.0)
    torch.testing.assert_close(returns, rewards.flip(1).cumsum(1).flip(1))


def test_whiten_looks_at_real_actions_only():
    real = torch.tensor([[1, 1, 0], [1, 1, 1]])
    x = torch.tensor([[1.0, 2.0, 100.0], [3.0, 4.0, 5.0]])
    white = ppo.whiten(x, real)
    torch.testing.assert_close(white[real.bool()], (torch.arange(1.0, 6) - 3) / math.sqrt(2))
    assert white[0, 2] == 0


@pytest.mark.parametrize("ratio, advantage, loss, slope", [
    (1.0, 2.0, -2.0, -2.0), (1.1, 2.0, -2.2, -2.2), (1.5, 2.0, -2.4, 0.0),
    (0.5, 2.0, -1.0, -1.0), (0.5, -2.0, 1.6, 0.0), (1.5, -2.0, 3.0, 3.0)])
def test_policy_loss_is_clipped_on_one_side(ratio, advantage, loss, slope):
    log_probs = torch.tensor([[math.log(ratio), 7.0]], requires_grad=True)
    value = ppo.policy_loss(log_probs, torch.zeros(1, 2), torch.tensor([[advantage, 9.0]]),
                            torch.tensor([[1, 0]]), 0.2)
    value.backward()
    assert value.item() == pytest.approx(loss, abs=1e-6)
    assert log_probs.grad[0, 0].item() == pytest.approx(slope, abs=1e-5)  # d ratio = ratio
    assert log_probs.grad[0, 1] == 0


@pytest.mark.parametrize("value, loss", [(1.1, 0.9**2), (1.5, 0.8**2), (3.0, 1.0), (0.0, 4.0)])
def test_value_loss_takes_the_worse_of_the_clipped_and_the_plain(value, loss):
    # V_old 1, return 2, V_old +- .2; 1.5 counts as 1.2, and 3 as itself, 1 away
    result = ppo.value_loss(torch.tensor([[value, 5.0]]), torch.tensor([[1.0, 0.0]]),
                            torch.tensor([[2.0, 0.0]]), torch.tensor([[1, 0]]), 0.2)
    assert result.item() == pytest.approx(loss / 2, abs=1e-6)
