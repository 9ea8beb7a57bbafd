"""Signs, without target labels, of whether a model is right on the target (`--signals`).

    entropy         of its choices on the target, in nats: is it sure?
    fresh_distance  W / slope of a critic trained anew on half of the test rows, on the other half
    reverse         a linear reward of what it chose on the target, right on so much of the source
    agreement       with the runs of the other seeds, on lists that all of them are shown
"""
import statistics
from itertools import combinations

import torch

import dial

STEPS = 300  # of a critic, and of a linear reward, on embeddings that stay


@torch.no_grad()
def embeddings(run, encoded):
    """Embeddings of encoded records, for each (K, D), less their mean."""
    model, found = run.model.eval(), {}
    for batch in run.batches(encoded):
        emb = model.embed(dial.to_device(batch, model)).cpu()
        found |= zip(batch["index"], emb.split(batch["counts"]))
    model.train()
    return [found[i] - found[i].mean(dim=0) for i in sorted(found)]


def signs(run, source, target):
    """The first three and the choices of a trained run, from test records without their labels
    (of the source, with); records are of as many responses each."""
    head = run.model.reward_head.weight[0].detach().cpu()
    source, target = (torch.stack(embeddings(run, run.encode(domain, "test")))
                      for domain in (source, target))  # (B, K, D)
    p = (target @ head).softmax(dim=1)
    return {"entropy": -(p * p.log()).sum(dim=1).mean().item(),
            "fresh_distance": fresh_distance(source, target),
            "reverse": reverse(source, target, (target @ head).argmax(dim=1))}


def fresh_distance(source, target):
    """W / slope between the other halves of (B, K, D) and (B, K, D)."""
    halves = [half for emb in (source, target) for half in emb.tensor_split(2)]
    source, s, target, t = (half.flatten(0, 1) for half in halves)
    critic = dial.Critic(source.shape[1])
    optimizer = torch.optim.AdamW(critic.parameters(), 1e-3, (0.5, 0.999))
    for _ in range(STEPS):
        penalty, _ = dial.gradient_penalty(critic, source, target)
        dial.descend(penalty - dial.wasserstein_distance(critic, source, target), optimizer)
    slope = dial.gradient_penalty(critic, s, t)[1]
    return (dial.wasserstein_distance(critic, s, t) / slope).item()


def reverse(source, target, choices):
    """Accuracy on source rows, chosen first, of a linear reward trained on the target's choices."""
    head = torch.nn.Linear(source.shape[2], 1, bias=False)
    optimizer = torch.optim.AdamW(head.parameters(), 1e-2, weight_decay=1e-2)
    order = torch.argsort(torch.arange(target.shape[1]) != choices[:, None], dim=1, stable=True)
    target = torch.take_along_dim(target, order[:, :, None], 1)  # what was chosen first
    for _ in range(STEPS):
        rewards = head(target).squeeze(-1)
        dial.descend(dial.bradley_terry_loss(rewards[:, 0], rewards[:, 1:]), optimizer)
    return dial.accuracy(head(source).squeeze(-1).detach())


def agreement(choices):
    """For each of n lists of choices, how often it is that of the others, on average."""
    same = {frozenset(pair): statistics.fmean(a == b for a, b in zip(*(choices[i] for i in pair)))
            for pair in combinations(range(len(choices)), 2)}
    return [statistics.fmean(v for pair, v in same.items() if i in pair)
            for i in range(len(choices))]
