"""The losses of policies, as pure functions of log probabilities: DPO, IPO, SLiC and SFT.

A log probability is that of a whole response, log pi(y|x), in nats: the sum over its tokens. Three
losses, `RATIO_LOSSES`, are of a margin h (P,), by which the policy prefers the chosen response of
each pair more than the reference does, the policy that training began with. beta is above 0.
"""
import torch.nn.functional as F

from dial import bradley_terry_loss


def log_ratio_margin(chosen, rejected, ref_chosen, ref_rejected):
    """The margin of each pair, (P,), from four log probabilities (P,).

        h = log pi(y+|x)/pi_ref(y+|x) - log pi(y-|x)/pi_ref(y-|x)

    Raises ValueError for other shapes.
    """
    shapes = {tuple(x.shape) for x in (chosen, rejected, ref_chosen, ref_rejected)}
    if len(shapes) > 1 or chosen.ndim != 1:
        raise ValueError(f"need four log probabilities of one shape (P,), not {sorted(shapes)}")
    return (chosen - ref_chosen) - (rejected - ref_rejected)


def dpo_loss(h, beta):
    """Direct preference optimisation, eq. (7) of Rafailov et al. (2023): the Bradley-Terry loss of
    the rewards beta log(pi / pi_ref). Where the policy is the reference it is log 2.

        - mean log sigmoid(beta h)
    """
    return bradley_terry_loss(beta * h, h.new_zeros(h.shape))


def ipo_loss(h, beta):
    """Identity preference optimisation, eq. (17) of Azar et al. (2023). (TRL divides the log
    probabilities by the lengths.)

        mean (h - 1 / (2 beta))^2
    """
    return (h - 1 / (2 * beta)).square().mean()


def slic_loss(h, beta):
    """Sequence likelihood calibration, the hinge of Zhao et al. (2023) on beta h with a gap of 1.

        mean max(0, 1 - beta h)

    SLiC-HF, eq. (1), has no reference and a gap delta: that is delta times this loss with a
    reference of 0 and beta = 1 / delta. Its other term is lambda `sft_loss`.
    """
    return F.relu(1 - beta * h).mean()


def sft_loss(log_probs, weights=None):
    """Supervised fine-tuning; with weights, OODPL's inner objective, its eqs. (1) and (10).

        - mean w log pi(y|x)

    Args: log_probs: (N,), in nats. weights: (N,), not below 0; 1 each if not given.
    Raises ValueError where the shapes differ.
    """
    if weights is None:
        return -log_probs.mean()
    if weights.shape != log_probs.shape:
        raise ValueError(f"need a weight for each of {log_probs.shape}, not {weights.shape}")
    return -(weights * log_probs).mean()


RATIO_LOSSES = {"DPO": dpo_loss, "IPO": ipo_loss, "SLiC": slic_loss}
