"""How far can a critic be trusted? Its W beside the exact distance W1 of two clouds of points.

    python toy/critics.py

The penalty asks for a slope of 1, but a critic gains by being steeper. With a slope of k it can
reach k * W1 - lambda_gp * (k - 1)^2, and the best k is 1 + W1 / (2 * lambda_gp). So W grows faster
than W1, and more so for a small lambda_gp. Dividing W by the slope removes most of the excess.
"""
import torch
from tqdm import tqdm

import mlp  # noqa: F401  (comes first, because it sets the path)

from bound import wasserstein_1
from dial import (Critic, DialConfig, descend, gradient_penalty, make_optimizers,
                  wasserstein_distance)
from harness.command import exit_codes
from harness.tables import print_columns

SETTINGS = DialConfig(critic_learning_rate=3e-3)
SHIFTS = (0.0, 0.5, 1.0, 2.0, 3.0)
LAMBDA_GP = (1.0, 10.0, 100.0)


def clouds(shift, n):
    """Draw points (n, 2) of source and target, the target's moved by (shift, shift)."""
    source, target = torch.randn(2, n, 2) * torch.tensor([1.0, 0.3])
    return source, target + shift


def estimate_distance(source, target, lambda_gp, steps=400):
    """Train a critic on these points. This is the inner maximum of eq. (4) alone.

    Args:
        source, target: (n, 2) points.
    Returns:
        (distance, slope): the critic's W, eq. (2), and the mean norm of its gradients.
    """
    torch.manual_seed(0)
    critic = Critic(2, (64, 32))
    _, optimizer = make_optimizers(critic, critic, SETTINGS)  # there is no model but the critic
    for _ in range(steps):
        penalty, _ = gradient_penalty(critic, source, target)  # eq. (3)
        distance = wasserstein_distance(critic, source, target)  # eq. (2)
        descend(lambda_gp * penalty - distance, optimizer)
    distance = wasserstein_distance(critic, source, target)
    _, slope = gradient_penalty(critic, source, target)
    return distance.item(), slope.item()


def main():
    table = [("shift", "W1", *(f"critic, lambda_gp {gp:g}" for gp in LAMBDA_GP))]
    for shift in tqdm(SHIFTS, "shifts", leave=False):
        torch.manual_seed(1)
        source, target = clouds(shift, 300)
        found = [estimate_distance(source, target, gp) for gp in LAMBDA_GP]
        table.append((f"{shift:g}", f"{wasserstein_1(source, target):.2f}", *(
            f"{distance:.2f}, / slope {distance / slope:.2f}" for distance, slope in found)))
    print_columns(table)


if __name__ == "__main__":
    with exit_codes():
        main()
