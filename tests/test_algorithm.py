"""Algorithm 1 run by hand on a toy, with an AdamW of its own: every setting has its effect."""
import copy
from dataclasses import replace

import pytest
import torch
from torch import nn

import dial
from dial import Critic, DialConfig, train

# Each setting does something: the clipping bites, both weight decays, the warm-up and the decay.
HARD = DialConfig(steps=6, learning_rate=0.02, weight_decay=0.3, warmup_steps=2, decay=0.5,
                  clip=0.05, lambda_da=2.0, lambda_gp=10.0, critic_steps=3,
                  critic_learning_rate=0.03, critic_weight_decay=0.2, critic_beta1=0.5)
FACTORS = [1 / 3, 2 / 3, 1, 1, 2 / 3, 1 / 3]  # of the learning rate, by hand


class Toy(nn.Module):
    """What `train` needs of a model, and nothing else."""

    def __init__(self):
        super().__init__()
        self.body, self.reward_head = nn.Linear(3, 4), nn.Linear(4, 1, bias=False)

    def embed(self, batch):
        return self.body(batch["x"]).tanh()


def toy():
    torch.manual_seed(0)
    return Toy().double(), Critic(4, (8,)).double()


def toy_batches(steps=6):
    """Two records of three responses and one of two from the source, two of two as the target."""
    g = torch.Generator().manual_seed(1)
    pairs = {"chosen": torch.tensor([0, 0, 3, 3, 6]), "rejected": torch.tensor([1, 2, 4, 5, 7])}
    return [{"x": torch.randn(12, 3, generator=g).double(), "n_source": 8,
             "counts": [3, 3, 2, 2, 2]} | pairs for _ in range(steps)]


class AdamW:
    """By hand, after Loshchilov and Hutter (2019)."""

    def __init__(self, module, lr, beta1, weight_decay):
        self.parameters, self.lr = list(module.parameters()), lr
        self.beta1, self.weight_decay, self.t = beta1, weight_decay, 0
        self.m, self.v = ([torch.zeros_like(p) for p in self.parameters] for _ in range(2))

    def step(self, loss, factor=1.0, clip=None):
        gradients = torch.autograd.grad(loss, self.parameters)
        self.norm = sum(g.square().sum() for g in gradients).sqrt()
        if clip:
            assert self.norm > clip
            gradients = [g * clip / (self.norm + 1e-6) for g in gradients]  # as torch does
        self.t += 1
        lr = self.lr * factor
        for p, g, m, v in zip(self.parameters, gradients, self.m, self.v):
            m.mul_(self.beta1).add_((1 - self.beta1) * g)
            v.mul_(0.999).add_(0.001 * g**2)
            update = m / (1 - self.beta1**self.t) / ((v / (1 - 0.999**self.t)).sqrt() + 1e-8)
            p.data = p.data * (1 - lr * self.weight_decay) - lr * update


def losses_by_hand(model, critic, emb, batch, center=False):
    """(source_loss, distance, a function for the penalty) of the definitions."""
    margins = (emb[batch["chosen"]] - emb[batch["rejected"]]) @ model.reward_head.weight[0]
    if center:
        record = torch.tensor([0, 0, 0, 1, 1, 1, 2, 2, 3, 3, 4, 4])
        emb = torch.stack([e - emb[record == r].mean(dim=0) for e, r in zip(emb, record)])
    source, target = emb[:8], emb[8:]
    distance = critic(source).mean() - critic(target).mean()
    return ((1 + (-margins).exp()).log().mean(), distance,
            lambda: dial.gradient_penalty(critic, source, target)[0])


@pytest.mark.parametrize("center", [False, True])
def test_algorithm_1_by_hand(center):
    config = replace(HARD, center_prompts=center)
    (model, critic), (other, other_critic) = toy(), toy()
    torch.manual_seed(2)
    records = train(model, critic, toy_batches(), config)
    torch.manual_seed(2)
    ours = AdamW(other, 0.02, 0.9, 0.3)
    critics = AdamW(other_critic, 0.03, 0.5, 0.2)
    for i, batch in enumerate(toy_batches()):
        emb = other.embed(batch).detach()
        for _ in range(3):
            _, distance, penalty = losses_by_hand(other, other_critic, emb, batch, center)
            critics.step(10 * penalty() - distance)
        source_loss, domain_loss, _ = losses_by_hand(other, other_critic, other.embed(batch), batch,
                                                     center)
        ours.step(source_loss + 2 * domain_loss, FACTORS[i], clip=0.05)
        assert records[i]["step"] == i + 1
        assert records[i]["source_loss"] == pytest.approx(source_loss.item(), rel=1e-9)
        assert records[i]["domain_loss"] == pytest.approx(domain_loss.item(), rel=1e-9)
        assert records[i]["distance"] == pytest.approx(distance.item(), rel=1e-9)
        norms = [records[i][f"{name}gradient_norm"] for name in ("", "critic_")]
        assert norms == pytest.approx([ours.norm.item(), critics.norm.item()], rel=1e-9)
    for a, b in zip([*model.parameters(), *critic.parameters()],
                    [*other.parameters(), *other_critic.parameters()], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-11)


def test_src_pref_by_hand():
    """And without any clipping; neither the critic nor what the target says has a part in it."""
    (model, critic), (other, other_critic) = toy(), toy()
    batches = [batch | {"x": batch["x"].index_fill(0, torch.arange(8, 12), 1e9)}
               for batch in toy_batches()]
    records = train(model, critic, batches, replace(HARD, clip=0.0), dial.preference_step)
    ours = AdamW(other, 0.02, 0.9, 0.3)
    for factor, batch, record in zip(FACTORS, toy_batches(), records, strict=True):
        loss, _, _ = losses_by_hand(other, other_critic, other.embed(batch), batch)
        ours.step(loss, factor)
        assert record.keys() == {"step", "source_loss", "gradient_norm"}
    for a, b in zip([*model.parameters(), *critic.parameters()],
                    [*other.parameters(), *other_critic.parameters()], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-11)


def test_each_optimiser_moves_its_own_part_with_its_own_gradient():
    """While the critic climbs, the model has no gradient and stays; then the critic stays."""
    (model, critic), moves = toy(), []

    class Spy(torch.optim.SGD):
        def step(self):
            before = copy.deepcopy((model.state_dict(), critic.state_dict()))
            moves.append((self.name, all(p.grad is None for p in model.parameters())))
            super().step()
            for name, module, old in zip(("model", "critic"), (model, critic), before):
                same = all(torch.equal(v, old[k]) for k, v in module.state_dict().items())
                assert same == (name != self.name)

    optimizers = [Spy(module.parameters(), lr=0.1) for module in (model, critic)]
    optimizers[0].name, optimizers[1].name = "model", "critic"
    dial.dial_step(model, critic, *optimizers, toy_batches(1)[0], HARD)
    assert moves == [("critic", True)] * 3 + [("model", False)]
    assert all(p.requires_grad for p in critic.parameters())


def test_a_single_response_cannot_be_centred():
    with pytest.raises(ValueError, match="two responses or more to every prompt"):
        dial.critic_view(torch.randn(3, 2), {"counts": [2, 1], "n_source": 2},
                         replace(HARD, center_prompts=True))
