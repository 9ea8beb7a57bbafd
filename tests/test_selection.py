"""Which responses are worth a label (methods/selection.py), by brute force, and who labels them."""
import itertools
import math

import pytest
import torch

from methods.selection import annotate, select_pairs, select_prompts


def dot(a, b):
    return sum(x * y for x, y in zip(a, b))


def cosine(a, b):
    return dot(a, b) / math.sqrt(dot(a, a) * dot(b, b))


def brute_force(rows, strategy):
    """The pair of one prompt, from lists of floats, by trying all there is."""
    k = len(rows)
    if strategy in ("hard", "easy"):
        sign = -1 if strategy == "hard" else 1
        return min(itertools.combinations(range(k), 2),
                   key=lambda pair: sign * cosine(rows[pair[0]], rows[pair[1]]))
    unit = [[x / math.sqrt(sum(x * x for x in row)) for x in row] for row in rows]

    def members(labels, which):
        own = [i for i in range(k) if labels[i] == which]
        center = [sum(unit[i][d] for i in own) / len(own) for d in range(len(unit[0]))]
        return [(sum((x - c) ** 2 for x, c in zip(unit[i], center)), i) for i in own]

    labelings = [x for x in itertools.product([0, 1], repeat=k) if 0 < sum(x) < k]
    best = min(labelings, key=lambda x: sum(far for w in (0, 1) for far, _ in members(x, w)))
    return tuple(sorted(min((round(far, 6), i) for far, i in members(best, which))[1]
                        for which in (0, 1)))


@pytest.mark.parametrize("strategy", ["hard", "easy", "centroid"])
@pytest.mark.parametrize("k", [2, 3, 5])
def test_pairs_by_brute_force(strategy, k):
    emb = torch.randn(25, k, 4, generator=torch.Generator().manual_seed(k), dtype=torch.float64)
    emb = emb * torch.arange(1, 26)[:, None, None]  # the cosine knows no length
    found = select_pairs(emb, strategy).tolist()
    assert found == [list(brute_force(rows, strategy)) for rows in emb.tolist()]


def test_of_three_two_means_joins_the_hard_pair_and_takes_its_first():
    emb = torch.randn(50, 3, 4, generator=torch.Generator().manual_seed(0))
    for hard, pair in zip(*(select_pairs(emb, s).tolist() for s in ("hard", "centroid"))):
        (alone,) = {0, 1, 2} - set(hard)
        assert pair == sorted([hard[0], alone])


def test_ties_go_to_the_lower_numbers():
    same = torch.ones(1, 4, 3)
    assert [select_pairs(same, s).tolist() for s in ("hard", "easy")] == [[[0, 1]]] * 2


def test_random_pairs_are_uniform():
    pairs = select_pairs(torch.randn(6000, 3, 2), "random", torch.Generator().manual_seed(0))
    counts = [(pairs == torch.tensor(pair)).all(1).sum() for pair in ((0, 1), (0, 2), (1, 2))]
    assert sum(counts) == 6000 and all(abs(n - 2000) < 150 for n in counts)


@pytest.mark.parametrize("k", [2, 3, 5])
def test_half_of_the_prompts_by_brute_force(k):
    emb = torch.randn(11, k, 3, generator=torch.Generator().manual_seed(k))
    least = [min(cosine(a, b) for a, b in itertools.combinations(rows, 2)) for rows in emb.tolist()]
    by_size = sorted(range(11), key=lambda i: least[i])
    assert select_prompts(emb, "easy").tolist() == sorted(by_size[:5])
    assert select_prompts(emb, "hard").tolist() == sorted(by_size[-5:])


@pytest.mark.parametrize("select, shape, strategy", [
    (select_pairs, (3, 1, 2), "hard"), (select_pairs, (3, 13, 2), "hard"),
    (select_pairs, (3, 2), "easy"), (select_pairs, (3, 3, 2), "soft"),
    (select_prompts, (3, 1, 2), "hard"), (select_prompts, (3, 2), "easy"),
    (select_prompts, (3, 3, 2), "random")])
def test_what_cannot_be_selected(select, shape, strategy):
    with pytest.raises(ValueError, match=r"need \(P, K, D\)"):
        select(torch.zeros(shape), strategy)


@pytest.mark.parametrize("tau, gap", [(0.0, 3.0), (1.0, 1.0), (0.7, -2.0)])
def test_the_annotator_is_right_with_the_probability_of_eq_2(tau, gap):
    scores = torch.tensor([[gap, 0.0]]).expand(20000, 2)
    first = (annotate(scores, tau, torch.Generator().manual_seed(0)) == 0).double().mean().item()
    assert first == pytest.approx(1 / (1 + math.exp(-tau * gap)), abs=0.015)
