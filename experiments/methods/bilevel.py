"""OODPL ("Generalizing Reward Modeling for Out-of-Distribution Preference Learning"): a reward is
learned so that a policy, fitted to the texts that it weighs, agrees with preferences.

    inner   theta_{d+1} = theta_d - alpha grad g(theta_d),   g = - E w log pi_theta(y|x)
    outer   minimise sum_k f_k(theta_D) over phi,            f = - E log sigmoid(s(y+) - s(y-))

theta is the policy's, theta_0 what SFT gives; phi is the reward's; k goes over training domains.
"""
import torch

from dial import bradley_terry_loss
from methods.losses import sft_loss


def weights(phi, features, beta):
    """w = exp(r / beta), eq. (9) without its normaliser, for the linear reward r = features phi.

    Args: phi: (D,). features: (N, D). beta: above 0; the larger, the closer are weights to 1.
    """
    return torch.exp(features @ phi / beta)


def fit(theta, log_probs, w, alpha, steps):
    """theta_D: `steps` of gradient descent on g, eq. (10).

    Args:
        theta: (R, Q). log_probs: a function of theta that gives log pi(y|x) of the texts, (N,).
        w: (N,); where it requires gradients, they flow back through all steps. alpha: the rate.
    """
    learned = w.requires_grad
    theta = theta.detach().requires_grad_()
    for _ in range(steps):
        (grad,) = torch.autograd.grad(sft_loss(log_probs(theta), w), theta, create_graph=learned)
        theta = theta - alpha * grad
        theta = theta if learned else theta.detach().requires_grad_()
    return theta if learned else theta.detach()


def pairs(scores):
    """(chosen, rejected), (P,) each, of the scores of records, (1 + K,) each, the chosen response
    first."""
    return (torch.cat([s[:1].expand(len(s) - 1) for s in scores]),
            torch.cat([s[1:] for s in scores]))


def pair_loss(scores):
    """f, eqs. (6) and (7): - mean log sigmoid(s(y+) - s(y-)), a scalar; scores as in `pairs`.

    Our copy of the paper does not show whether s in (6) is log pi(y|x) or that divided by the
    length |y|, as in its metric (23). Here it is divided.
    """
    return bradley_terry_loss(*pairs(scores))


def pair_accuracy(scores):
    """The share of pairs in which the chosen response has the larger score, eq. (23); ties count
    one half."""
    chosen, rejected = pairs(scores)
    return ((chosen > rejected).double() + (chosen == rejected).double() / 2).mean().item()
