"""methods/meta.py: what each method learns, from toy texts, and is measured on."""
from dataclasses import replace

import pytest
import torch

import meta_reward
from methods import frozen, meta


def toy(n=20, seed=0, k=3):
    """`Texts` of n records of k one-token responses. The first feature of the chosen one, which is
    the first, is 1; every response has a state of its own, so that a policy can single it out."""
    make = torch.Generator().manual_seed(seed)
    last = torch.randn(n * k, 4, generator=make) * 0.1
    last[::k, 0] += 1
    z = torch.cat([torch.ones(n * k, 1), torch.eye(n * k)], 1)
    layer = frozen.Layer(torch.eye(5, 4), None, None, None)
    return frozen.Texts(torch.zeros(n * k, 5), z, torch.randint(0, 4, (n * k,), generator=make),
                        torch.ones(n * k).long(), last, last, [k] * n, layer)


CONFIG = replace(meta.MetaConfig(), alpha=20.0, beta=1.0, reward_rate=0.05, records=10)


@pytest.fixture
def task():
    config = replace(CONFIG, sft_steps=20, steps=30)
    return meta.Task([toy(10, i) for i in range(2)], toy(10, 9), config, 0)


def test_rewards_carry_over_and_policies_do_not(task):
    """In the toy the states of the domains have nothing in common, the features have."""
    found = {name: task.run(name)[0]["pairs"] for name in meta_reward.METHODS}
    assert found["OODPL"] > 0.8 and found["BT + fit"] > 0.8
    assert max(found[name] for name in ("SFT", "DPO", "HPL")) < 0.75


@pytest.mark.parametrize("name", meta_reward.METHODS)
def test_no_method_sees_which_response_of_the_domain_left_out_is_chosen(name):
    """With another response first in each record nothing changes but what is measured. (In double
    precision: AdamW makes much of the rounding of a gradient that is 0.)"""
    torch.set_default_dtype(torch.float64)
    order = torch.arange(24).view(8, 3)[:, [1, 2, 0]].flatten()
    config, train, test = replace(CONFIG, sft_steps=5, steps=20), [toy(8)], toy(8, seed=9)
    trained = []
    try:
        for texts in (test, test.responses(order, [3] * 8)):
            task = meta.Task(train, texts, config, 0)
            task.measure = lambda theta: trained.append(theta) or {"pairs": 0.0}
            task.run(name)
    finally:
        torch.set_default_dtype(torch.float32)
    torch.testing.assert_close(trained[-1], trained[len(trained) // 2 - 1], atol=1e-6, rtol=1e-5)


def test_last_states_are_centred_and_scaled(task):
    """Each less the mean of its three; the deviation is that of all training domains' states."""
    centred = [toy(10, i).last.view(10, 3, 4) for i in (0, 1, 9)]
    centred = [(x - x.mean(1, keepdim=True)).view(30, 4) for x in centred]
    for texts, x in zip([*task.train, task.test], centred):
        torch.testing.assert_close(texts.last, x / torch.cat(centred[:2]).std())


def test_dpo_and_outer_by_hand():
    texts, theta = toy(4), torch.randn(61, 4)[:13] * 0.3
    now, ref = (texts.log_probs(t).view(4, 3) for t in (theta, torch.zeros(13, 4)))
    gap = (now[:, :1] - now[:, 1:]) - (ref[:, :1] - ref[:, 1:])
    expected = -torch.nn.functional.logsigmoid(0.1 * gap).mean()
    torch.testing.assert_close(meta.dpo(theta, texts, torch.zeros(13, 4)), expected)
    config, phi = replace(CONFIG, beta=2.0, inner_steps=1), torch.tensor([1.0, 0, 0, 0])
    moved = theta.clone().requires_grad_()
    (-(torch.exp(texts.last[:, 0] / 2) * texts.log_probs(moved)).mean()).backward()
    scores = texts.log_probs(moved.detach() - 20.0 * moved.grad).view(4, 3)
    expected = -torch.nn.functional.logsigmoid(scores[:, :1] - scores[:, 1:]).mean()
    torch.testing.assert_close(meta.outer(phi, texts, theta, config), expected)


def test_minimise_returns_the_mean_of_the_second_half():
    values = []

    def loss(value, texts):
        values.append(value.detach().clone())
        return value.square().sum() * len(texts.counts)

    mean, log = meta.minimise(torch.ones(2), loss, [toy(), toy(5)], 6, 0.1, 7)
    after = [*values[2::2], mean * 3]  # the values after steps 1 to 5; the last follows
    last = mean * 3 - after[3] - after[4]
    assert torch.all(last < after[4]) and torch.all(last > after[4] - 0.11)
    assert [r["step"] for r in log] == [1, 2, 3, 4, 5, 6]
    assert log[0]["loss"] == 2 * 7 + 2 * 5  # of 7 records, and of all 5
    assert log[0]["gradient"] == pytest.approx(12 * 2 * 2**0.5)


def test_what_is_not_finite(task):
    with pytest.raises(FloatingPointError, match="step 1: not finite; lower"):
        meta.minimise(torch.ones(2), lambda v, t: v.sum() * float("nan"), task.train, 2, 1.0, 9)
