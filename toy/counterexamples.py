"""Where Theorem 2.1 fails: examples, the bound as stated and the bound that holds beside each.

`python toy/synthetic_shift.py --bound` prints them.
"""
import math

import torch

import dial
from dial import preference_error, wasserstein_1
from report import print_columns


def four_responses():
    """Pairs (winner, loser) of two domains, by their rewards, of which K = 1.

    Yields (name, source, target): the theorem bounds the gap by 0, as responses are distributed
    alike; what changes is who meets whom.
    """
    for m in (1.0, 2.0, 4.0):  # truly a is better than b, b than c, c than d
        a, b, c, d = m, 0.0, 2 * m, m
        yield f"A, M = {m:g}", [(a, b), (c, d)], [(a, c), (b, d)]
    a, b, c, d = 0.0, -4.0, -8.0, 4.0  # winners are alike too, and so are losers
    yield "A'", [(a, b), (c, d)], [(a, d), (c, b)]


def mirrored_atoms(d):
    """Example B: two atoms, drawn independently; the first coordinate wins, the reward is the
    second. The target is the mirror image, 2 d away. A tie (an atom against itself) is no error of
    the labels: the two rewards tie as well."""
    high, low = (d, 1.0), (-d, 0.0)
    source = [(high, low), (high, low), (high, high), (low, low)]
    high, low = (-d, 1.0), (d, 0.0)
    return source, [(low, high), (low, high), (high, high), (low, low)]


def thin_line(angle, n=1000):
    """Example B with a density: points z (sin, cos)(angle), z Gaussian, in midpoint quantiles; the
    first coordinate wins, the reward is the second. The target is the mirror image."""
    z = torch.distributions.Normal(0.0, 1.0).icdf((torch.arange(n) + 0.5) / n)
    z = z[torch.randperm(n, generator=torch.Generator().manual_seed(0))].view(-1, 2)
    z = z.sort(dim=1, descending=True).values  # (n / 2, 2): the source's winner has the larger z
    t = math.radians(angle)
    line = torch.stack([z * math.sin(t), z * math.cos(t)], dim=-1)  # (n / 2, 2, 2)
    mirror = torch.tensor([-1.0, 1.0])
    return line, (line * mirror).flip(1)


def check_bounds(source, target, reward):
    """Errors and the two bounds of their gap, for a reward with K = 1 on (..., D) points."""
    errors = [preference_error(reward(p[:, 0]), reward(p[:, 1])).item() for p in (source, target)]
    stated = dial.stated_error_bound(0, 1.0, wasserstein_1(source.flatten(0, 1),
                                                           target.flatten(0, 1)))
    return (*errors, stated, dial.target_error_bound(0, 1.0, wasserstein_1(source, target)))


def print_bounds():
    rows = [(name, torch.tensor(s)[..., None], torch.tensor(t)[..., None])
            for name, s, t in four_responses()]
    rows += [(f"B, d = {d:g}", *map(torch.tensor, mirrored_atoms(d))) for d in (0.1, 0.01)]
    rows += [(f"B, a line at {t} degrees", *thin_line(t)) for t in (2, 10, 20)]
    table = [("example", "source error", "target error", "gap", "Theorem 2.1", "K/4 W1 of pairs")]
    for name, source, target in rows:
        s, t, stated, holds = check_bounds(source, target, lambda points: points[..., -1])
        wrong = " (false)" if t - s > stated else ""
        table.append((name, f"{s:.4f}", f"{t:.4f}", f"{t - s:.4f}", f"{stated:.4f}{wrong}",
                      f"{holds:.4f}"))
    print_columns(table)
