"""A shortcut that holds only in the source: Src-Pref relies on it, DIAL drops most of it.

    python toy/gaussians.py

A response is a point. Its first coordinate tells its quality, with noise, in both domains. The
second coordinate tells it better in the source; in the target it tells nothing and is larger. The
critic finds that the domains differ in the second coordinate, and the embedding is trained to do
without it. That costs accuracy in the source.
"""
import torch

from mlp import METHODS, ToyModel  # comes first, because it sets the path

from dial import Critic, DialConfig, accuracy, train
from harness.command import exit_codes
from harness.tables import print_columns

SETTINGS = DialConfig(steps=400, learning_rate=3e-3, decay=0.5, lambda_da=1.0,
                      critic_learning_rate=3e-3)


def sample(n, shortcut):
    """Draw points (n, 2) and their quality (n,), of the source with the `shortcut`, else of the
    target."""
    quality = torch.randn(n)
    second = quality + 0.1 * torch.randn(n) if shortcut else 2 + 0.5 * torch.randn(n)
    return torch.stack([quality + 0.4 * torch.randn(n), second], dim=1), quality


def pairs(quality):
    """Pair n points by their quality (n,): positions of the chosen and of the rejected, (n / 2,)
    each."""
    a, b = torch.arange(len(quality)).view(2, -1)  # the first half against the second
    better = quality[a] > quality[b]
    return torch.where(better, a, b), torch.where(better, b, a)


def batches(n=128):
    """Yield batches without end: n source points in labelled pairs, n target points without
    labels."""
    while True:
        (source, quality), (target, _) = sample(n, True), sample(n, False)
        chosen, rejected = pairs(quality)
        yield {"points": torch.cat([source, target]), "n_source": n,  # (2 n, 2)
               "chosen": chosen, "rejected": rejected}


@torch.no_grad()
def measure(model, shortcut):
    """Compute the accuracy on 2000 new pairs of one domain."""
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
    with exit_codes():
        main()
