"""REAL ("Response Embedding-based Alignment for LLMs"): which two responses to a prompt are worth a
label, and what policy do the labels lead to?"""
import itertools

import torch
import torch.nn.functional as F

from methods.frozen import iterates
from methods.losses import dpo_loss, log_ratio_margin, sft_loss

STRATEGIES = ("hard", "random", "easy", "centroid")
MOST = 12  # responses to a prompt: two-means goes through all 2^(K - 1) - 1 partitions


def select_pairs(emb, strategy, generator=None):
    """Choose two responses to each prompt, eqs. (5) to (9).

        hard: the most similar pair; easy: the least; random: any; centroid: two-means on unit
        vectors, exact, and of each cluster the member nearest to its centre

    Ties go to the pair, or the member, of the lower numbers. (Of three responses two-means joins
    two, which are equally near to their centre: the first of them is taken.)
    Args:
        emb: (P, K, D), the mean state of each response without its prompt; not all zeros.
        generator: of torch, for random.
    Returns (P, 2) numbers below K, the lower first. Raises ValueError for other shapes or names.
    """
    if emb.ndim != 3 or not 2 <= emb.shape[1] <= MOST or strategy not in STRATEGIES:
        raise ValueError(f"need (P, K, D), K from 2 to {MOST}, and one of {STRATEGIES}, not "
                         f"{tuple(emb.shape)} and {strategy!r}")
    if strategy == "centroid":
        return torch.stack([centroids(rows) for rows in F.normalize(emb, dim=2)])
    pairs, similarity = similarities(emb)
    if strategy == "random":
        return pairs[torch.randint(len(pairs), (len(emb),), generator=generator)]
    return pairs[first_smallest(similarity if strategy == "easy" else -similarity)]


def similarities(emb):
    """All C pairs of K responses, (C, 2), and their cosines for each prompt, (P, C)."""
    pairs, unit = torch.combinations(torch.arange(emb.shape[1])), F.normalize(emb, dim=2)
    return pairs, (unit[:, pairs[:, 0]] * unit[:, pairs[:, 1]]).sum(2)


def first_smallest(values):
    """Along the last axis, the first number of those within 1e-6 of the smallest."""
    return (values <= values.amin(-1, keepdim=True) + 1e-6).int().argmax(-1)


def centroids(unit):
    """Exact two-means of (K, D), (9): the two members nearest to the centres, (2,)."""
    k, best = len(unit), None
    for inside in itertools.product([False, True], repeat=k - 1):
        mask = torch.tensor([True, *inside])  # the first response is in the first cluster
        if not mask.all():
            own = [m.nonzero()[:, 0] for m in (mask, ~mask)]
            far = [(unit[i] - unit[i].mean(0)).square().sum(1) for i in own]  # to the centres
            cost = sum(x.sum().item() for x in far)
            if best is None or cost < best[0] - 1e-6:
                best = cost, [i[first_smallest(x)] for i, x in zip(own, far)]
    return torch.stack(best[1]).sort().values


def select_prompts(emb, strategy):
    """Choose half of the prompts, where all responses of a prompt are labelled together.

    A prompt counts as similar as its least similar pair of responses; hard takes the more similar
    half, easy the other. For K = 2, as in HH-RLHF, this is section 4.4 of the paper. (Its appendix
    B.2 calls the more similar half easy.)
    Args: emb: as of `select_pairs`; any K above 1. strategy: hard or easy.
    Returns (P // 2,), sorted. Raises ValueError for other shapes or names.
    """
    if emb.ndim != 3 or emb.shape[1] < 2 or strategy not in ("hard", "easy"):
        raise ValueError(f"need (P, K, D), K from 2, and hard or easy, not {tuple(emb.shape)} and "
                         f"{strategy!r}")
    order = similarities(emb)[1].amin(1).argsort(stable=True, descending=strategy == "hard")
    return order[: len(emb) // 2].sort().values


def annotate(scores, tau, generator):
    """Label pairs as an annotator who is right with probability sigmoid(tau |difference|).

    Args: scores: (P, 2), the true ones. tau: per point of the score; 0 is a coin.
    Returns (P,), 0 or 1: which of each pair is called chosen.
    """
    first = torch.sigmoid(tau * (scores[:, 0] - scores[:, 1]))
    return (torch.rand(len(scores), generator=generator) >= first).long()


class Alignment:
    """What the strategies of a seed have in common, and the policies that they lead to.

    Args:
        train, test: `frozen.Texts` of K responses each, of pairs with the chosen first. alone:
        (P K, D), embeddings of the first. scores: (P, K), theirs. args: of pair_selection.py.
    """

    def __init__(self, args, train, test, alone, scores, seed):
        self.args, self.seed, self.scores, self.alone = args, seed, scores, alone
        self.train, self.test = train, test
        torch.manual_seed(seed)
        start = torch.zeros(test.z.shape[1], test.layer.output.shape[1])
        losses = self.losses(self.label("random")[0], 3, lambda now, _: sft_loss(now[:, 0]))
        *_, (self.theta, _) = iterates(start, losses, args.rate)
        self.ref = [texts.log_probs(self.theta) for texts in (train, test)]

    def label(self, strategy):
        """The numbers of the chosen and rejected responses of a strategy's pairs, (P, 2), and what
        the labels are worth."""
        emb, picker, annotators = self.alone.view(*self.scores.shape, -1), *(
            torch.Generator().manual_seed(self.seed + i) for i in (0, 1))
        pairs = select_pairs(emb, strategy, picker)  # (P, 2)
        own = self.scores.gather(1, pairs)
        first, second = (annotate(own, self.args.tau, annotators)[:, None] for _ in range(2))
        wrong = own.gather(1, first) < own.gather(1, 1 - first)
        pairs = pairs.gather(1, torch.cat([first, 1 - first], 1))
        return pairs + torch.arange(len(emb))[:, None] * emb.shape[1], {
            "label_error": wrong.float().mean().item(),
            "agreement": (first == second).float().mean().item()}

    def losses(self, pairs, epochs, loss):
        """For each batch of pairs (P, 2) a function of theta: `loss` of log probabilities (B, 2)
        and of the numbers of the responses."""
        for _ in range(epochs):
            for index in torch.randperm(len(pairs)).split(self.args.batch_size):
                texts = self.train.responses(pairs[index].flatten(), [2] * len(index))
                yield lambda theta: loss(texts.log_probs(theta).view(-1, 2), pairs[index])

    def look(self, step, theta, pairs):
        """What goes into the log: measures on the test pairs, and how similar the pairs are."""
        r = self.args.beta * (self.test.log_probs(theta) - self.ref[1]).view(-1, 2)
        gap = r[:, 0] - r[:, 1]  # the chosen response comes first
        chosen, rejected = ([self.test.layer.moved(mean[i], theta)
                             for mean in (self.train.mean, self.alone)] for i in pairs.T)
        with_prompt, alone = map(F.cosine_similarity, chosen, rejected)
        return {"step": step, "labels": min(step * self.args.batch_size, len(pairs)),
                "margin": gap.mean().item(), "loss": -F.logsigmoid(gap).mean().item(),
                "accuracy": ((gap > 0).float() + (gap == 0) / 2).mean().item(),
                "with_prompt": with_prompt.mean().item(), "alone": alone.mean().item()}

    def run(self, strategy):
        """Train on a strategy's pairs; return metrics and a log."""
        pairs, worth = self.label(strategy)
        torch.manual_seed(self.seed)
        log, n_steps = [self.look(0, self.theta, pairs)], -(-len(pairs) // self.args.batch_size)
        losses = self.losses(pairs, 1, lambda now, text: dpo_loss(
            log_ratio_margin(*now.T, *self.ref[0][text].T), self.args.beta))
        for theta, record in iterates(self.theta, losses, self.args.rate):
            if record["step"] % 5 == 0 or record["step"] == n_steps:
                log.append(self.look(record["step"], theta, pairs))
        end = {name: log[-1][name] for name in ("margin", "loss", "accuracy")}
        return end | worth | {"similarity": log[0]["alone"]}, log
