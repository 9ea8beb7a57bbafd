"""Arguments of known quality, made of the sentences in arguments.tsv.

Each of 30 questions comes with sound reasons and weak ones of the same tone; there are also
sentences that say nothing and fit any question. A text's flaws are weak reasons, such empty
sentences, and reasons that belong to another question: one must read them to see it. A flaw is as
long, nearly, as the sound reason whose place it takes, so length tells nothing. Questions, empty
sentences, openings and closings of the test are in no training text of the same seed. A fixed fifth
of each is the search pool (`splits.divide`): validation texts are made of it, and no other text is.

    clean, noisy    pairs of answers to one question, three sentences each, one or two flaws apart
    short           single paragraphs of three sentences in pairs of neighbouring scores
    long            essays of nine sentences between an opening and a closing, with scores
"""
import random
from pathlib import Path

import data
from domains.noise import add_noise
from domains.splits import Domain, divide
from reading.tables import read_table

JUDGE = "How sound is this argument?"


def read_sentences():
    """The sentences by question (* for those that fit any) and kind."""
    found = {}
    for _, row in read_table(Path(__file__).with_name("arguments.tsv")):
        found.setdefault(row["topic"], {}).setdefault(row["kind"], []).append(row["text"])
    return found


class Writer:
    """Writes texts out of the sentences of one part; the split follows the seed alone."""

    def __init__(self, form, part, seed):
        def own(items):
            return divide(items, seed)[part]

        sentences, self.long = read_sentences(), form == "long"
        self.general = {kind: own(texts) for kind, texts in sentences.pop("*").items()}
        self.topics = {topic: sentences[topic] for topic in own(sorted(sentences))}
        self.rng = random.Random(f"{form} {part} {seed}")

    def paragraph(self, topic, n, flaws):
        """`n` sentences on a question, `flaws` of them weak, empty or on another question."""
        other = self.rng.choice([t for t in self.topics if t != topic])
        kinds = (self.topics[topic]["weak"], self.general["vague"], self.topics[other]["reason"])
        chosen = self.rng.sample(self.topics[topic]["reason"], n)
        for i in self.rng.sample(range(n), flaws):
            left = [text for text in self.rng.choice(kinds) if text not in chosen]
            self.rng.shuffle(left)
            chosen[i] = min(left, key=lambda text: abs(n_words(text) - n_words(chosen[i])))
        return " ".join(chosen)

    def answers(self, n, noisy):
        """`n` Preferences between two answers to one question."""
        rows = []
        for _ in range(n):
            topic, better = self.rng.choice(list(self.topics)), self.rng.randrange(3)
            worse = better + self.rng.randrange(1, min(2, 3 - better) + 1)
            texts = [topic, *(self.paragraph(topic, 3, flaws) for flaws in (better, worse))]
            if noisy:
                texts = [add_noise(text, self.rng) for text in texts]
            rows.append(data.Preference(texts[0], texts[1], (texts[2],)))
        return rows

    def candidates(self, n, k):
        """`n` Unlabeled records of `k` answers, at most four, to one question, and the answers'
        scores, 0 for no flaw and one less for each; no two answers of a record have the same."""
        rows, scores = [], []
        for _ in range(n):
            topic, flaws = self.rng.choice(list(self.topics)), self.rng.sample(range(4), k)
            found = sorted((self.paragraph(topic, 3, f), -float(f)) for f in flaws)
            rows.append(data.Unlabeled(topic, tuple(text for text, _ in found)))
            scores.append([score for _, score in found])
        return rows, scores

    def graded(self, n):
        """`n` texts, question first, and their scores, 1 to 4 (short) or 1 to 6 (long)."""
        texts, scores, best = [], [], 6 if self.long else 4
        for i in range(n):
            topic, flaws = self.rng.choice(list(self.topics)), i % best
            text = self.paragraph(topic, 9 if self.long else 3, flaws)
            if self.long:
                ends = [self.rng.choice(self.general[kind]) for kind in ("opening", "closing")]
                text = f"{ends[0]} {text} {ends[1]}"
            texts.append(f"{topic}\n{text}"), scores.append(float(best - flaws))
        return texts, scores


def n_words(text):
    """The length of a text."""
    return len(text.split())


def neighbouring_pairs(texts, scores, prompt, n, rng):
    """`n` Preferences between texts of neighbouring scores (A.5), all with the same prompt; every
    text is in one of them at least, if `n` allows."""
    levels = [[t for t, s in zip(texts, scores) if s == level] for level in sorted(set(scores))]
    if len(levels) < 2:
        raise data.InputError("pairs of neighbouring levels need two levels of scores")
    pairs = []
    while len(pairs) < n:
        levels = [rng.sample(level, len(level)) for level in levels]
        new = [data.Preference(prompt, high[i % len(high)], (low[i % len(low)],))
               for low, high in zip(levels, levels[1:]) for i in range(max(len(low), len(high)))]
        pairs += rng.sample(new, len(new))
    return pairs[:n]


def argument_domain(form, part="test", n_train=1000, n_test=200, seed=0):
    """Make a domain of `form` clean, noisy, short or long.

    Args:
        part: what to measure on, "validation" (the pool) or "test". n_train, n_test: texts (long)
            or pairs to train and to measure on. seed: of the split, which all forms share, and of
            the texts.
    """
    train, new = Writer(form, "train", seed), Writer(form, part, seed)
    if form in ("clean", "noisy"):
        labeled = train.answers(n_train, form == "noisy")
        return Domain(form, labeled, data.unlabel(labeled), new.answers(n_test, form == "noisy"))
    texts, scores = train.graded(n_train)
    labeled = neighbouring_pairs(texts, scores, JUDGE, n_train, train.rng)
    unlabeled, (texts, scores) = single(texts), new.graded(n_test)
    if form == "long":
        return Domain(form, labeled, unlabeled, single(texts), scores)
    test = neighbouring_pairs(texts, scores, JUDGE, n_test, new.rng)
    return Domain(form, labeled, unlabeled, test)


def single(texts):
    """Each text as a record of its own."""
    return [data.Unlabeled(JUDGE, (text,)) for text in texts]
