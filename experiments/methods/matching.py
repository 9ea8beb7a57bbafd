"""Distances of two samples that take no critic, in the place of DIAL's: for the ablation.

    mean_matching   the distance of the means: W of the best affine critic of slope 1, and an affine
                    critic is what the authors' release trains
    mmd             the maximum mean discrepancy, Gretton et al. (2012), with Gaussian kernels of
                    several widths, Long et al. (2015)

Each is a step function like `dial.dial_step`; the critic and its optimiser are unused.
"""
from functools import partial

import torch

import dial

WIDTHS = (0.25, 0.5, 1.0, 2.0, 4.0)  # of the kernels, times the mean squared distance


def mean_distance(source, target):
    """|mean source - mean target|.

    Args: of this and the one below: source, target: (N_s, D), (N_t, D). Returns a scalar >= 0.
    """
    return (source.mean(dim=0) - target.mean(dim=0)).norm()


def squared_mmd(source, target):
    """mean k(source, source) + mean k(target, target) - 2 mean k(source, target), which is biased
    in small samples, where k adds up exp(-|x - y|^2 / (width m)) over WIDTHS and m, through which
    no gradient flows, is the mean of all |x - y|^2."""
    n, emb = len(source), torch.cat([source, target])
    squared = (emb[:, None] - emb[None, :]).square().sum(dim=-1)  # (N_s + N_t, N_s + N_t)
    kernel = sum(torch.exp(-squared / (width * squared.detach().mean())) for width in WIDTHS)
    return kernel[:n, :n].mean() + kernel[n:, n:].mean() - 2 * kernel[:n, n:].mean()


def matching_step(distance, model, critic, optimizer, critic_optimizer, batch, config):
    """One step down source_loss + lambda_da distance, of what DIAL's critic would see."""
    emb = model.embed(batch)  # (N, D), the source's first
    domain_loss = distance(*dial.critic_view(emb, batch, config))
    source_loss = dial.preference_loss(model, emb, batch)
    loss = source_loss + config.lambda_da * domain_loss
    norm = dial.descend(loss, optimizer, config.clip, model)
    return {"source_loss": source_loss, "domain_loss": domain_loss, "distance": domain_loss,
            "gradient_norm": norm}


mean_matching = partial(matching_step, mean_distance)
mmd = partial(matching_step, squared_mmd)
