"""A shortcut that holds in the source alone: Src-Pref leans on it, DIAL drops most of it.

    python toy/gaussians.py

A response is a point. Its first coordinate tells its quality with noise, in both domains. The
second tells it better, but in the source alone; in the target it tells nothing, and is larger. So
the domains differ in the second coordinate, the critic finds it there, and the embedding is pushed
to do without it. That costs accuracy on the source.
"""
import torch

from mlp import METHODS, ToyModel  # first of ours: it sets the path

from dial import Critic, DialConfig, accuracy, train
from harness.tables import print_columns

SETTINGS = DialConfig(steps=400, learning_rate=3e-3, decay=0.5, lambda_da=1.0,
                      critic_learning_rate=3e-3)


def sample(n, shortcut):
    """Points (n, 2) of the source, where there is a `shortcut`, or of the target; quality (n,)."""
    quality = torch.randn(n)
    second = quality + 0.1 * torch.randn(n) if shortcut else 2 + 0.5 * torch.randn(n)
    return torch.stack([quality + 0.4 * torch.randn(n), second], dim=1), quality


def pairs(quality):
    """Which points are compared, (n / 2,) each: the chosen ones and the rejected ones."""
    a, b = torch.arange(len(quality)).view(2, -1)  # the first half against the second
    better = quality[a] > quality[b]
    return torch.where(better, a, b), torch.where(better, b, a)


def batches(n=128):
    """Endless batches: labelled pairs of n source points, and n target points without labels."""
    while True:
        (source, quality), (target, _) = sample(n, True), sample(n, False)
        chosen, rejected = pairs(quality)
        yield {"points": torch.cat([source, target]), "n_source": n,  # (2 n, 2)
               "chosen": chosen, "rejected": rejected}


@torch.no_grad()
def measure(model, shortcut):
    """Accuracy on 2000 fresh pairs of one domain."""
    points, quality = sample(4000, shortcut)
    return accuracy(model(points)[torch.stack(pairs(quality), dim=1)])  # of (2000, 2) rewards


def main():
    table = [("method", "source accuracy", "target accuracy", "largest W / slope", "last 50 steps")]
    for method, step in METHODS.items():
        torch.manual_seed(0)
        model, critic = ToyModel(2, 32, 2), Critic(2, (64, 32))
        records = train(model, critic, batches(), SETTINGS, step=step, title=method)
        accuracies = [measure(model, shortcut) for shortcut in (True, False)]
        distances = [r["distance"] / r["slope"] for r in records if "distance" in r]
        shown = (max(distances), sum(distances[-50:]) / 50) if distances else ()
        table.append((method, *(f"{value:.3f}" for value in accuracies),
                      *([f"{value:.2f}" for value in shown] or ["", ""])))
    print_columns(table)


if __name__ == "__main__":
    main()
