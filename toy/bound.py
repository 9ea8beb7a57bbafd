"""Theorem 2.1: its terms, where it fails as stated, and the bound that holds.

    python toy/bound.py        # prints the counterexamples

The error of a K-Lipschitz reward r in a domain is eps = mean sigmoid(r(rejected) - r(chosen)),
eq. (6). S is the source, T the target.

    eps_T <= eps_S + (2K/4) * W1(responses of S, responses of T)    eq. (7): false in general
    eps_T <= eps_S + (K/4) * W1(pairs of S, pairs of T)             always holds

The responses of a domain are its chosen and its rejected ones together. A pair is (chosen,
rejected); the distance of two pairs is that of their chosen responses plus that of their rejected
ones. The second bound holds because eps is the mean of one function of a pair in both domains,
sigmoid(r(rejected) - r(chosen)), which is (K/4)-Lipschitz for this distance. What is wrong in the
proof of the first: README.md, "The theorem". The functions need nothing else of the project.
"""
import math

import torch
from scipy.optimize import linear_sum_assignment


def preference_error(chosen, rejected):
    """Compute the mean probability of the wrong choice under Bradley-Terry, eq. (6).

        mean sigmoid(rejected - chosen)

    Args:
        chosen, rejected: (B,) rewards, in logits.
    Returns:
        scalar in (0, 1); 1/2 if all rewards are equal.
    """
    return torch.sigmoid(rejected - chosen).mean()  # eq. (6)


def wasserstein_1(source, target):
    """Compute the 1-Wasserstein distance of two samples exactly, by the cheapest matching:

        min over permutations of mean_i |x_i - y_permutation(i)|

    By Kantorovich-Rubinstein duality this equals the supremum over functions in eq. (1). Two
    samples of one distribution are apart, too: 500 points of a standard Gaussian each by .2 in 2
    dimensions, .9 in 5 and 2.2 in 10.

    Args:
        source, target: (N, D) points, or (N, 2, D) pairs of points, (chosen, rejected). Both have
            the same N. The distance of two pairs is the sum of their points' two distances.
    Returns:
        float, in the unit of the points.
    Raises:
        ValueError: the shapes are not as above, or there are no points.
    """
    if source.shape != target.shape or source.ndim not in (2, 3) or not len(source):
        shapes = f"{tuple(source.shape)} and {tuple(target.shape)}"
        raise ValueError(f"need (N, D) twice or (N, 2, D) twice, not empty, got {shapes}")
    difference = source.detach().double()[:, None] - target.detach().double()[None]
    cost = difference.norm(dim=-1).view(len(source), len(target), -1).sum(dim=-1)  # (N, N)
    return cost[linear_sum_assignment(cost.cpu().numpy())].mean().item()


def error_bounds(source_error, lipschitz, source, target):
    """Compute both bounds of the target's `preference_error`.

    Args:
        source_error: eps_S.
        lipschitz: K of the reward, in the space of the points. Between embeddings, K is the norm of
            the reward head.
        source, target: (N, 2, D) pairs of points, (chosen, rejected).
    Returns:
        (stated, holds). Eq. (7), the first, is a bound if the target is the source moved by a map
        that is optimal for this distance and keeps chosen responses chosen, for example by a
        translation; in general it is none. The second needs the target's labels.
    """
    responses = wasserstein_1(source.flatten(0, 1), target.flatten(0, 1))  # of (2 N, D)
    stated = source_error + 2 * lipschitz / 4 * responses  # eq. (7)
    return stated, source_error + lipschitz / 4 * wasserstein_1(source, target)


def counterexamples():
    """Yield (name, source, target), the domains as pairs (N, 2, D). The reward is the last
    coordinate, so K = 1."""
    def on_the_line(*pairs):
        return torch.tensor(pairs)[..., None]  # (N, 2, 1)

    a, b, c, d = 1.0, 0.0, 2.0, 1.0  # truly a > b > c > d; only who meets whom differs
    yield "A", on_the_line((a, b), (c, d)), on_the_line((a, c), (b, d))
    a, b, c, d = 0.0, -4.0, -8.0, 4.0  # same chosen responses, same rejected ones
    yield "A'", on_the_line((a, b), (c, d)), on_the_line((a, d), (c, b))
    for d in (0.1, 0.01):
        yield f"B, d = {d:g}", *mirrored_atoms(d)
    yield "B, a line at 2 degrees", *thin_line(2)


def mirrored_atoms(d):
    """Make pairs (4, 2, 2) of each domain, drawn independently from two points. The point with the
    larger first coordinate is chosen; the reward is the second coordinate. The target is the
    mirror image, in which each point has moved by 2 d. Where a point meets itself, the rewards
    are equal, so it does not matter which of the two is called chosen."""
    high, low = (d, 1.0), (-d, 0.0)
    source = [(high, low), (high, low), (high, high), (low, low)]
    high, low = (-d, 1.0), (d, 0.0)
    target = [(low, high), (low, high), (high, high), (low, low)]
    return torch.tensor(source), torch.tensor(target)  # (4, 2, 2) each


def thin_line(angle, n=1000):
    """Make pairs (n / 2, 2, 2) in the same way from points on a line, z * (sin, cos)(angle). The z
    are the n midpoint quantiles of a standard Gaussian."""
    z = torch.distributions.Normal(0.0, 1.0).icdf((torch.arange(n) + 0.5) / n)
    z = z[torch.randperm(n, generator=torch.Generator().manual_seed(0))].view(-1, 2)
    z = z.sort(dim=1, descending=True).values  # (n / 2, 2): in the source the larger z is chosen
    t = math.radians(angle)
    line = torch.stack([z * math.sin(t), z * math.cos(t)], dim=-1)  # (n / 2, 2, 2)
    return line, (line * torch.tensor([-1.0, 1.0])).flip(1)


def check(source, target):
    """Compute source error, target error, and the two bounds of their difference, for K = 1."""
    errors = [preference_error(p[:, 0, -1], p[:, 1, -1]).item() for p in (source, target)]
    return *errors, *error_bounds(0, 1, source, target)


def main():
    line = "{:23}  {:12}  {:12}  {:6}  {:14}  {}".format
    print(line("example", "source error", "target error", "gap", "Theorem 2.1", "K/4 W1 of pairs"))
    for name, source, target in counterexamples():
        source_error, target_error, stated, holds = check(source, target)
        gap = target_error - source_error
        print(line(name, f"{source_error:.4f}", f"{target_error:.4f}", f"{gap:.4f}",
                   f"{stated:.4f}" + " (false)" * (gap > stated), f"{holds:.4f}"))


if __name__ == "__main__":
    import mlp  # noqa: F401  (comes first, because it sets the path)
    from harness.command import exit_codes
    with exit_codes():
        main()
