"""The losses of policies, as pure functions of log probabilities: DPO, IPO, SLiC and SFT.

A log probability is that of a whole response, log pi(y|x), in nats: the sum over its tokens.
`ref` marks those of the reference policy, which training began with. `RATIO_LOSSES` has the three
that compare a chosen with a rejected response; all have the same arguments.

    h = log pi(y+|x)/pi_ref(y+|x) - log pi(y-|x)/pi_ref(y-|x)
"""
import torch.nn.functional as F

from dial import bradley_terry_loss


def log_ratio_margin(chosen, rejected, ref_chosen, ref_rejected):
    """h as above, (P,). Raises ValueError where the four are not of one shape (P,)."""
    shapes = {tuple(x.shape) for x in (chosen, rejected, ref_chosen, ref_rejected)}
    if len(shapes) > 1 or chosen.ndim != 1:
        raise ValueError(f"need four log probabilities of one shape (P,), not {sorted(shapes)}")
    return (chosen - ref_chosen) - (rejected - ref_rejected)


def dpo_loss(chosen, rejected, ref_chosen, ref_rejected, beta):
    """Direct preference optimisation, eq. (7) of Rafailov et al. (2023).

        - mean log sigmoid(beta h)

    It is the Bradley-Terry loss of the rewards beta log(pi / pi_ref).
    Args:
        chosen, rejected, ref_chosen, ref_rejected: (P,), in nats. beta: a number above 0.
    Returns a scalar >= 0, log 2 where the policy is the reference. Raises ValueError for shapes.
    """
    h = log_ratio_margin(chosen, rejected, ref_chosen, ref_rejected)
    return bradley_terry_loss(beta * h, h.new_zeros(h.shape))


def ipo_loss(chosen, rejected, ref_chosen, ref_rejected, beta):
    """Identity preference optimisation, eq. (17) of Azar et al. (2023).

        mean (h - 1 / (2 beta))^2

    Args, Raises: as `dpo_loss`. (TRL passes log probabilities divided by the lengths.)
    Returns a scalar >= 0, 1 / (4 beta^2) where the policy is the reference.
    """
    h = log_ratio_margin(chosen, rejected, ref_chosen, ref_rejected)
    return (h - 1 / (2 * beta)).square().mean()


def slic_loss(chosen, rejected, ref_chosen, ref_rejected, beta):
    """Sequence likelihood calibration, the hinge of Zhao et al. (2023) on beta h with a gap of 1.

        mean max(0, 1 - beta h)

    SLiC-HF, eq. (1), has no reference and a gap delta: that is delta times this loss with ref = 0
    and beta = 1 / delta. Its other term is lambda `sft_loss`.
    Args, Raises: as `dpo_loss`. Returns a scalar >= 0, 1 where the policy is the reference.
    """
    h = log_ratio_margin(chosen, rejected, ref_chosen, ref_rejected)
    return F.relu(1 - beta * h).mean()


def sft_loss(log_probs, weights=None):
    """Supervised fine-tuning; with weights, OODPL's inner objective, its eqs. (1) and (10).

        - mean w log pi(y|x)

    Args:
        log_probs: (N,), in nats. weights: (N,), not below 0; 1 each if not given.
    Returns a scalar. Raises ValueError where the shapes differ.
    """
    if weights is None:
        return -log_probs.mean()
    if weights.shape != log_probs.shape:
        raise ValueError(f"need a weight for each of {log_probs.shape}, not {weights.shape}")
    return -(weights * log_probs).mean()


RATIO_LOSSES = {"DPO": dpo_loss, "IPO": ipo_loss, "SLiC": slic_loss}
