"""methods/bilevel.py: the hypergradient against finite differences and against Proposition 1 of the
paper, computed here from its formulas; the losses by hand."""
import math

import pytest
import torch

from methods.bilevel import fit, pair_accuracy, pair_loss, weights

N, D, R, Q, ALPHA, BETA, STEPS = 6, 4, 3, 2, 0.4, 1.7, 5  # two records of three responses


@pytest.fixture
def case():
    """log pi of six responses under a policy that is not linear in theta, and features, float64."""
    torch.manual_seed(0)
    make = torch.Generator().manual_seed(1)
    x = torch.randn(N, 5, R, generator=make, dtype=torch.float64)  # of five choices
    o = torch.randn(5, Q, generator=make, dtype=torch.float64)
    features = torch.randn(N, D, generator=make, dtype=torch.float64)
    phi = torch.randn(D, generator=make, dtype=torch.float64)
    theta = torch.randn(R, Q, generator=make, dtype=torch.float64)

    def log_probs(theta):
        return ((x @ theta) * o).sum(2).log_softmax(1)[:, 0]  # (N,)

    def preference_loss(theta):
        return pair_loss(log_probs(theta).split([3, 3]))

    return log_probs, preference_loss, features, phi, theta


def outer(case, phi, steps=STEPS):
    log_probs, preference_loss, features, _, theta = case
    return preference_loss(fit(theta, log_probs, weights(phi, features, BETA), ALPHA, steps))


def hypergradient(case, steps=STEPS):
    phi = case[3].clone().requires_grad_()
    outer(case, phi, steps).backward()
    return phi.grad


def test_hypergradient_by_finite_differences(case):
    phi, h = case[3], 1e-6
    numeric = torch.stack([(outer(case, phi + h * e) - outer(case, phi - h * e)) / (2 * h)
                           for e in torch.eye(D, dtype=torch.float64)])
    torch.testing.assert_close(hypergradient(case), numeric, atol=1e-9, rtol=1e-6)
    assert numeric.norm() > 1e-2  # it is not nothing that agrees


@pytest.mark.parametrize("steps", [1, STEPS])
def test_hypergradient_is_that_of_proposition_1(case, steps):
    """Lambda_D = grad f(theta_D); Lambda_d = (I - alpha Hessian g(theta_d)) Lambda_{d+1}; dF/dphi =
    alpha / beta sum_d E w <grad log pi_{theta_d}, Lambda_{d+1}> grad r. Hessians are whole matrices
    here, and nothing is differentiated through a step."""
    log_probs, preference_loss, features, phi, theta = case
    w = torch.exp(features @ phi / BETA)

    def g(flat):
        return -(w * log_probs(flat.view(R, Q))).mean()

    path = [theta.flatten()]
    for _ in range(steps):
        path.append(path[-1] - ALPHA * torch.autograd.functional.jacobian(g, path[-1]))
    of_f = torch.autograd.functional.jacobian(lambda t: preference_loss(t.view(R, Q)), path[-1])
    carried, total = of_f, torch.zeros(D, dtype=torch.float64)
    for flat in reversed(path[:-1]):
        grads = torch.autograd.functional.jacobian(
            lambda t: log_probs(t.view(R, Q)), flat)  # (N, R Q)
        total += ALPHA / BETA * ((w * (grads @ carried))[:, None] * features).mean(0)
        carried = carried - ALPHA * torch.autograd.functional.hessian(g, flat) @ carried
    torch.testing.assert_close(hypergradient(case, steps), total, atol=1e-12, rtol=1e-9)


def test_fit_is_gradient_descent_whether_or_not_the_reward_is_learned(case):
    log_probs, _, features, phi, theta = case
    w = weights(phi, features, BETA)
    moved = theta.clone()
    for _ in range(3):
        moved = moved - ALPHA * torch.autograd.functional.jacobian(
            lambda t: -(w * log_probs(t)).mean(), moved)
    plain = fit(theta, log_probs, w, ALPHA, 3)
    learned = fit(theta, log_probs, weights(phi.clone().requires_grad_(), features, BETA), ALPHA, 3)
    torch.testing.assert_close(plain, moved)
    torch.testing.assert_close(learned, moved)
    assert learned.requires_grad and not plain.requires_grad


def test_weights_by_hand():
    features = torch.tensor([[1.0, 2.0], [0.0, 0.0]])
    w = weights(torch.tensor([0.5, 1.0]), features, 2.0)
    assert w.tolist() == pytest.approx([math.exp(2.5 / 2), 1.0])


def test_pairs_by_hand():
    """Three pairs: chosen less rejected is 1 and -2, then 0, a tie."""
    scores = [torch.tensor([0.0, -1.0, 2.0]), torch.tensor([3.0, 3.0])]
    expected = sum(math.log(1 + math.exp(-x)) for x in (1, -2, 0)) / 3
    assert pair_loss(scores).item() == pytest.approx(expected)
    assert pair_accuracy(scores) == pytest.approx(1.5 / 3)
