"""How rewards go with scores: correlations, taken within prompts."""
import statistics
import sys


def counted(scores, prompts):
    """Lists of the places of texts that are correlated with each other: those of a prompt.

    Bradley-Terry compares responses to one prompt, so it leaves open what is added to all rewards
    of a prompt. Prompts whose texts all have one score do not count. If fewer than half of the
    texts are left, all are taken together.
    """
    groups = {}
    for i, prompt in enumerate(prompts):
        groups.setdefault(prompt, []).append(i)
    groups = [g for g in groups.values() if len({scores[i] for i in g}) > 1]
    return groups if 2 * sum(map(len, groups)) >= len(scores) else [list(range(len(scores)))]


def say_counted(name, domain):
    """A line where scored texts do not count, since no other text of their prompt has another
    score."""
    n = sum(map(len, counted(domain.scores, [row.prompt for row in domain.test])))
    if n < len(domain.test):
        print(f"{name}: correlations are taken within prompts: {len(domain.test) - n} of "
              f"{len(domain.test)} texts do not count, whose prompt has a single score",
              file=sys.stderr)


def within_prompts(rewards, scores, prompts):
    """Pearson's and Spearman's correlation of rewards and scores (B,), taken among the texts of
    each of the `prompts` (`counted`): their mean, weighted by the number of texts."""
    from scipy import stats  # most runs do not need it, and it takes a second

    groups = [[(rewards[i], scores[i]) for i in group] for group in counted(scores, prompts)]
    weights = list(map(len, groups))
    return {name: statistics.fmean([correlation(*zip(*g), f) for g in groups], weights)
            for name, f in (("pearson", stats.pearsonr), ("spearman", stats.spearmanr))}


def correlation(x, y, f):
    """0 where one is constant: a reward that tells nothing."""
    return float(f(x, y).statistic) if min(len(set(x)), len(set(y))) > 1 else 0.0
