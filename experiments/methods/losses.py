"""The losses of policies, as pure functions of log probabilities: DPO and SFT.

A log probability is that of a whole response, log pi(y|x), in nats: the sum over its tokens. DPO's
loss is of a margin h (P,), by which the policy prefers the chosen response of each pair more than
the reference does, the policy that training began with. beta is above 0.
"""
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
