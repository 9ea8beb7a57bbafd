"""Theorem 2.1: its terms, where it fails as stated, and the bound that holds.

    python toy/bound.py        # prints the counterexamples

With eps = E sigmoid(r(loser) - r(winner)), eq. (6), and a K-Lipschitz reward r:

    eps_T <= eps_S + 2 K / 4 W1(responses of S and of T)    eq. (7): false in general
    eps_T <= eps_S + K / 4 W1(pairs of S and of T)          always holds

Responses are winners and losers together; a pair is (winner, loser). The proof (of Theorem B.2)
writes eps as the mean of a function h of one response, its error averaged over the responses that
it meets, eq. (13), and compares the two domains' means as if h were one function, eq. (15). But
opponents differ between the domains, and so does h. Where responses are distributed alike and only
meet others, eq. (7) says that the errors agree, and they do not. The second line is about one
function of a pair, sigmoid(r(l) - r(w)), which is K / 4-Lipschitz where the distances of winner and
loser add.

Nothing here needs the rest of the project.
"""
import math

import torch
from scipy.optimize import linear_sum_assignment


def preference_error(chosen, rejected):
    """Expected chance of the wrong choice under Bradley-Terry, eq. (6).

        mean sigmoid(rejected - chosen)

    Args:
        chosen, rejected: (B,) rewards, in logits.
    Returns:
        scalar in (0, 1); 1/2 where all rewards tie.
    """
    return torch.sigmoid(rejected - chosen).mean()  # eq. (6)


def wasserstein_1(source, target):
    """Compute the 1-Wasserstein distance between two samples exactly: the cheapest matching,

        min over permutations of mean_i |x_i - y_permutation(i)|,

    which by Kantorovich-Rubinstein duality equals the supremum over functions in eq. (1).

    Two samples of 500 points of one law are far from 0 apart in higher dimensions: .2 in 2, .9
    in 5, 2.2 in 10 dimensions for standard Gaussians.

    Args:
        source, target: (N, D) points, as many of both; or pairs of points (N, 2, D), as (winner,
            loser), between which the two distances add.
    Returns:
        float, in the unit of the points.
    Raises:
        ValueError: other shapes, or no points.
    """
    if source.shape != target.shape or source.ndim not in (2, 3) or not len(source):
        shapes = f"{tuple(source.shape)} and {tuple(target.shape)}"
        raise ValueError(f"need (N, D) twice or (N, 2, D) twice, not empty, got {shapes}")
    difference = source.detach().double()[:, None] - target.detach().double()[None]
    cost = difference.norm(dim=-1)  # (N, N), or (N, N, 2)
    if cost.ndim == 3:
        cost = cost.sum(dim=-1)  # (N, N)
    return cost[linear_sum_assignment(cost.cpu().numpy())].mean().item()


def target_error_bound(source_error, lipschitz, pair_distance):
    """Bound the target's `preference_error`: eps_S + K / 4 W1. Always holds, for any two domains.

    Args:
        source_error: eps_S. lipschitz: K of the reward, in what the distance is measured in: the
            embeddings, where K is the norm of the reward head, or the inputs.
        pair_distance: `wasserstein_1` of (N, 2, D) pairs; it needs the target's labels.
    """
    return source_error + lipschitz / 4 * pair_distance


def stated_error_bound(source_error, lipschitz, pooled_distance):
    """Theorem 2.1, eq. (7), as the paper states it: eps_S + 2 K / 4 W1. NOT TRUE in general.

    True where the target is the source moved by a map that is optimal for this distance and keeps
    winners and losers, a translation for example.

    Args:
        source_error, lipschitz: as for `target_error_bound`.
        pooled_distance: `wasserstein_1` of (N, D), winners and losers together, without labels.
    """
    return source_error + 2 * lipschitz / 4 * pooled_distance  # eq. (7)


def counterexamples():
    """Yield (name, source, target): pairs (N, 2, D); the last coordinate is the reward: K = 1."""
    def on_the_line(*pairs):
        return torch.tensor(pairs)[..., None]  # (N, 2, 1)

    a, b, c, d = 1.0, 0.0, 2.0, 1.0  # truly a > b > c > d; what changes is who meets whom
    yield "A", on_the_line((a, b), (c, d)), on_the_line((a, c), (b, d))
    a, b, c, d = 0.0, -4.0, -8.0, 4.0  # winners are distributed alike too, and so are losers
    yield "A'", on_the_line((a, b), (c, d)), on_the_line((a, d), (c, b))
    for d in (0.1, 0.01):
        yield f"B, d = {d:g}", *mirrored_atoms(d)
    yield "B, a line at 2 degrees", *thin_line(2)


def mirrored_atoms(d):
    """Two atoms, drawn independently; the first coordinate wins, the reward is the second. The
    target is the mirror image, 2 d away. A tie (an atom against itself) is no error of the labels:
    the two rewards tie as well."""
    high, low = (d, 1.0), (-d, 0.0)
    source = [(high, low), (high, low), (high, high), (low, low)]
    high, low = (-d, 1.0), (d, 0.0)
    target = [(low, high), (low, high), (high, high), (low, low)]
    return torch.tensor(source), torch.tensor(target)  # (4, 2, 2) each


def thin_line(angle, n=1000):
    """The same with a density: points z (sin, cos)(angle), z Gaussian, in midpoint quantiles."""
    z = torch.distributions.Normal(0.0, 1.0).icdf((torch.arange(n) + 0.5) / n)
    z = z[torch.randperm(n, generator=torch.Generator().manual_seed(0))].view(-1, 2)
    z = z.sort(dim=1, descending=True).values  # (n / 2, 2): the source's winner has the larger z
    t = math.radians(angle)
    line = torch.stack([z * math.sin(t), z * math.cos(t)], dim=-1)  # (n / 2, 2, 2)
    return line, (line * torch.tensor([-1.0, 1.0])).flip(1)


def check(source, target):
    """(source error, target error, the two bounds of their difference) of a counterexample."""
    errors = [preference_error(p[:, 0, -1], p[:, 1, -1]).item() for p in (source, target)]
    pooled = wasserstein_1(source.flatten(0, 1), target.flatten(0, 1))
    return *errors, stated_error_bound(0, 1, pooled), target_error_bound(
        0, 1, wasserstein_1(source, target))


def main():
    line = "{:23}  {:12}  {:12}  {:6}  {:14}  {}".format
    print(line("example", "source error", "target error", "gap", "Theorem 2.1", "K/4 W1 of pairs"))
    for name, source, target in counterexamples():
        source_error, target_error, stated, holds = check(source, target)
        gap = target_error - source_error
        wrong = " (false)" if gap > stated else ""
        print(line(name, f"{source_error:.4f}", f"{target_error:.4f}", f"{gap:.4f}",
                   f"{stated:.4f}{wrong}", f"{holds:.4f}"))


if __name__ == "__main__":
    main()
