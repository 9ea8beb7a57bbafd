"""Arguments of known quality, made of the sentences in arguments.tsv.

Each of 30 questions comes with sound reasons and weak ones of the same length and tone; there are
also sentences that say nothing and fit any question. A text's flaws are weak reasons, such empty
sentences, and reasons that belong to another question: one must read them to see it. Length tells
nothing. Questions of the test are in no training text.

    clean, noisy    pairs of answers to one question, three sentences each, one or two flaws apart
    short           single paragraphs of three sentences in pairs of neighbouring scores
    long            essays of nine sentences between an opening and a closing, with scores
"""
import csv
import random
import zlib
from pathlib import Path

import data
from data import InputError, Preference

from domains.noise import NOISE, add_noise
from domains.splits import Domain, split_items

PARTS = ("train", "validation", "test")
JUDGE = "How sound is this argument?"


def read_sentences():
    """The sentences by question (* for those that fit any) and kind."""
    found = {}
    with open(Path(__file__).with_name("arguments.tsv"), encoding="utf-8", newline="") as f:
        for row in csv.DictReader(f, delimiter="\t", quoting=csv.QUOTE_NONE):
            found.setdefault(row["topic"], {}).setdefault(row["kind"], []).append(row["text"])
    return found


class Writer:
    """Writes texts on the questions of one part of the data."""

    def __init__(self, part, seed):
        self.sentences, self.rng = read_sentences(), random.Random(zlib.crc32(seed.encode()))
        topics = sorted(set(self.sentences) - {"*"})
        self.topics = dict(zip(PARTS, split_items(topics)))[part]

    def paragraph(self, topic, n, flaws):
        """`n` sentences on a question, `flaws` of them weak, empty or on another question."""
        elsewhere = self.rng.choice([t for t in self.topics if t != topic])
        flawed = [sentence for kind in (self.sentences[topic]["weak"], self.sentences["*"]["vague"],
                                        self.sentences[elsewhere]["reason"])
                  for sentence in self.rng.sample(kind, 3)]
        return graded_text(self.sentences[topic]["reason"], flawed, n, flaws, self.rng)

    def answers(self, n, noise):
        """`n` Preferences between two answers to one question; `noise`: the rate of
        `add_noise`, None for answers as they are."""
        rows = []
        for _ in range(n):
            topic, better = self.rng.choice(self.topics), self.rng.randrange(3)
            worse = better + self.rng.randrange(1, min(2, 3 - better) + 1)
            texts = [topic, *(self.paragraph(topic, 3, flaws) for flaws in (better, worse))]
            if noise is not None:
                texts = [add_noise(text, self.rng, noise) for text in texts]
            rows.append(Preference(texts[0], texts[1], (texts[2],)))
        return rows

    def graded(self, n, long):
        """`n` texts, question first, and their scores, 1 to 4 (short) or 1 to 6 (long)."""
        texts, scores = [], []
        for _ in range(n):
            topic, flaws = self.rng.choice(self.topics), self.rng.randrange(6 if long else 4)
            text = self.paragraph(topic, 9 if long else 3, flaws)
            if long:
                opening, closing = (self.rng.choice(self.sentences["*"][k])
                                    for k in ("opening", "closing"))
                text = f"{opening} {text} {closing}"
            texts.append(f"{topic}\n{text}"), scores.append((6 if long else 4) - flaws)
        return texts, scores


def argument_domain(form, part="test", n_train=1000, n_test=200, noise=NOISE, seed=0):
    """Make a domain of `form` clean, noisy, short or long.

    Args:
        part: the part that is evaluated on, "validation" or "test". n_train, n_test: texts (long)
            or pairs to train and to evaluate on. noise: the rate of noisy texts.
    """
    noise = noise if form == "noisy" else None
    train, long = Writer("train", f"{form} train"), form == "long"

    def measured(part):
        new = Writer(part, f"{form} {part}")
        if form in ("clean", "noisy"):
            return new.answers(n_test, noise), None
        texts, scores = new.graded(n_test, long)
        if long:
            return [data.Unlabeled(JUDGE, (text,)) for text in texts], [float(s) for s in scores]
        return neighbouring_pairs(texts, scores, JUDGE, n_test, new.rng), None

    if form in ("clean", "noisy"):
        labeled = train.answers(n_train, noise)
        unlabeled = data.unlabel(labeled)
    else:
        texts, scores = train.graded(n_train, long)
        labeled = neighbouring_pairs(texts, scores, JUDGE, n_train, train.rng)
        unlabeled = [data.Unlabeled(JUDGE, (text,)) for text in texts]
    rows, scores = measured(part)
    return Domain(form, labeled=labeled, unlabeled=unlabeled, test=rows, scores=scores)


def graded_text(sound, flawed, n, flaws, rng):
    """A text of `n` sentences of which `flaws` are flawed, in random order.

    Args:
        sound, flawed: sentences to draw from, without replacement. rng: a random.Random.
    Raises:
        InputError: too few of either.
    """
    if len(sound) < n - flaws or len(flawed) < flaws:
        raise InputError(f"{n} sentences with {flaws} flawed: there are {len(sound)} and "
                         f"{len(flawed)} to draw from")
    sentences = rng.sample(sound, n - flaws) + rng.sample(flawed, flaws)
    return " ".join(rng.sample(sentences, n))


def neighbouring_pairs(texts, scores, prompt, n, rng):
    """Preferences between texts of neighbouring score levels (A.5).

    Every text that has a neighbour is in one pair at least, if `n` allows.

    Args:
        texts, scores: as many of each; distinct scores are the levels.
        prompt: of all pairs. n: how many pairs. rng: a random.Random.
    Raises:
        InputError: fewer than two levels.
    """
    levels = [[t for t, s in zip(texts, scores) if s == level] for level in sorted(set(scores))]
    if len(levels) < 2:
        raise InputError("pairs of neighbouring levels need two levels of scores")
    pairs = []
    for low, high in zip(levels, levels[1:]):
        for i in range(max(len(low), len(high))):
            pairs.append((high[i % len(high)], low[i % len(low)]))
    rng.shuffle(pairs)
    while len(pairs) < n:
        i = rng.randrange(len(levels) - 1)
        pairs.append((rng.choice(levels[i + 1]), rng.choice(levels[i])))
    return [Preference(prompt, better, (worse,)) for better, worse in pairs[:n]]
