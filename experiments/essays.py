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
        self.topics = dict(zip(PARTS, data.split_items(topics)))[part]

    def paragraph(self, topic, n, flaws):
        """`n` sentences on a question, `flaws` of them weak, empty or on another question."""
        elsewhere = self.rng.choice([t for t in self.topics if t != topic])
        flawed = [sentence for kind in (self.sentences[topic]["weak"], self.sentences["*"]["vague"],
                                        self.sentences[elsewhere]["reason"])
                  for sentence in self.rng.sample(kind, 3)]
        return data.graded_text(self.sentences[topic]["reason"], flawed, n, flaws, self.rng)

    def answers(self, n, noise):
        """`n` Preferences between two answers to one question; `noise`: the rate of
        `data.add_noise`, None for answers as they are."""
        rows = []
        for _ in range(n):
            topic, better = self.rng.choice(self.topics), self.rng.randrange(3)
            worse = better + self.rng.randrange(1, min(2, 3 - better) + 1)
            texts = [topic, *(self.paragraph(topic, 3, flaws) for flaws in (better, worse))]
            if noise is not None:
                texts = [data.add_noise(text, self.rng, noise) for text in texts]
            rows.append(data.Preference(texts[0], texts[1], (texts[2],)))
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


def argument_domain(form, test="test", n_train=1000, n_test=200, noise=data.NOISE):
    """Make a domain of `form` clean, noisy, short or long.

    Args:
        test: the part that is evaluated on, "validation" or "test". n_train, n_test: texts (long)
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
        return data.neighbouring_pairs(texts, scores, JUDGE, n_test, new.rng), None

    if form in ("clean", "noisy"):
        labeled = train.answers(n_train, noise)
        unlabeled = data.unlabel(labeled)
    else:
        texts, scores = train.graded(n_train, long)
        labeled = data.neighbouring_pairs(texts, scores, JUDGE, n_train, train.rng)
        unlabeled = [data.Unlabeled(JUDGE, (text,)) for text in texts]
    return data.Domain(form, *measured(test), labeled=labeled, unlabeled=unlabeled,
                       validation=data.Domain("validation", *measured("validation")))
