"""How rewards go with scores: correlations, taken within prompts."""
import statistics


def within_prompts(rewards, scores, prompts):
    """Pearson's and Spearman's correlation of rewards and scores (B,), taken among the texts of
    each of the `prompts`: their mean, weighted by the number of texts.

    Bradley-Terry compares responses to one prompt, so it leaves open what is added to all rewards
    of a prompt. Prompts whose texts all have one score do not count; if there are no others, all
    texts are taken together.
    """
    from scipy import stats  # most runs do not need it, and it takes a second

    groups = {}
    for reward, score, prompt in zip(rewards, scores, prompts):
        groups.setdefault(prompt, []).append((reward, score))
    groups = [g for g in groups.values() if len({score for _, score in g}) > 1]
    groups = groups or [list(zip(rewards, scores))]
    weights = list(map(len, groups))
    return {name: statistics.fmean([correlation(*zip(*g), f) for g in groups], weights)
            for name, f in (("pearson", stats.pearsonr), ("spearman", stats.spearmanr))}


def correlation(x, y, f):
    """0 where one is constant: a reward that tells nothing."""
    return float(f(x, y).statistic) if min(len(set(x)), len(set(y))) > 1 else 0.0
