"""Generated arguments: their flaws are what their scores say, and nothing simpler tells them."""
import math
import re
from collections import Counter
from itertools import product
from statistics import correlation, mean

import pytest

from domains import arguments
from domains.splits import PARTS

SEEDS = range(3)
FORMS = ("clean", "noisy", "short", "long")
KINDS = {text: (topic, kind) for topic, kinds in arguments.read_sentences().items()
         for kind, texts in kinds.items() for text in texts}


@pytest.fixture(scope="module")
def domains():
    """Every form with every seed; noise takes longest."""
    sizes = dict.fromkeys(FORMS, 200) | {"noisy": 100}
    return {(form, seed): arguments.argument_domain(form, n_train=n, n_test=n, seed=seed)
            for form, n in sizes.items() for seed in SEEDS}


def sentences(text):
    return re.split(r"(?<=[.!?])\s+", text)


def flaws(text):
    """The flaws of a text, question first, by kind, counted again from the file."""
    topic, *rest = sentences(text)
    return Counter(kind for about, kind in map(KINDS.get, rest) if kind in ("weak", "vague")
                   or (kind == "reason" and about != topic))


def wins(pairs, score):
    """How often the chosen text scores higher, ties one half."""
    gaps = [score(p.chosen) - score(p.rejected[0]) for p in pairs]
    return mean((gap > 0) + 0.5 * (gap == 0) for gap in gaps)


def counter(pairs):
    """Scores a text by how often its sentences were chosen and rejected."""
    chosen = Counter(s for pair in pairs for s in sentences(pair.chosen))
    rejected = Counter(s for pair in pairs for s in sentences(pair.rejected[0]))
    return lambda text: sum(math.log((chosen[s] + 1) / (rejected[s] + 1)) for s in sentences(text))


def general(rows):
    """The topics of records, which have no kind, and their sentences that fit any."""
    texts = (text for row in rows for text in (row.prompt, *row.responses))
    found = {s for text in texts for s in sentences(text)} - {arguments.JUDGE}
    return {s for s in found if KINDS.get(s, "*")[0] == "*"}


def test_nothing_of_the_test_is_in_training(domains):
    for domain in (domains[form, s] for form in ("clean", "short", "long") for s in SEEDS):
        train = general([*domain.labeled, *domain.unlabeled])
        assert len(general(domain.test)) >= 20 and not general(domain.test) & train


def test_a_split_follows_its_seed_and_is_shared_by_all_forms():
    for part, name in product(PARTS, ("topics", "general")):
        own = {(form, seed): str(getattr(arguments.Writer(form, part, seed), name))
               for form in FORMS for seed in SEEDS}
        assert all(own[form, seed] == own["clean", seed] for form, seed in own)
        assert len(set(own.values())) == (1 if part == "validation" else len(SEEDS))
    same, again, new = (arguments.argument_domain("clean", n_train=9, seed=s) for s in (3, 3, 4))
    assert same == again and not set(same.labeled) & set(new.labeled)


def test_length_and_known_sentences_tell_nothing(domains):
    for form in ("clean", "noisy", "short"):
        pairs = sum((domains[form, s].labeled + domains[form, s].test for s in SEEDS), [])
        assert wins(pairs, arguments.n_words) == pytest.approx(0.5, abs=0.04)
    lengths = []
    for seed in SEEDS:
        clean, short, long = (domains[form, seed] for form in ("clean", "short", "long"))
        texts = [row.responses[0] for row in long.test]
        lengths.append(correlation(list(map(arguments.n_words, texts)), long.scores))
        assert wins(clean.test, counter(clean.labeled)) == pytest.approx(0.5, abs=0.03)
        assert not any(map(counter(short.labeled), texts))  # none of their sentences is known
    assert abs(mean(lengths)) < 0.09


def test_flaws_order_the_scores(domains):
    kinds = Counter()
    for seed in SEEDS:
        found = [flaws(row.responses[0]) for row in domains["long", seed].test]
        assert domains["long", seed].scores == [6 - kinds_of.total() for kinds_of in found]
        kinds += sum(found, Counter())
        for pair in domains["short", seed].labeled:
            better, worse = map(flaws, pair.responses)
            assert worse.total() == better.total() + 1
        for pair in domains["clean", seed].labeled:
            better, worse = (flaws(f"{pair.prompt}\n{text}") for text in pair.responses)
            assert 1 <= worse.total() - better.total() <= 2
    assert set(kinds) == {"weak", "vague", "reason"} and min(kinds.values()) > 0.25 * kinds.total()


def test_many_texts():
    for form in ("clean", "long"):  # more than there are sentences
        domain = arguments.argument_domain(form, n_train=len(KINDS) + 1, n_test=2)
        assert len(domain.labeled) == len(domain.unlabeled) == len(KINDS) + 1


def test_candidates_have_the_flaws_that_their_scores_say():
    rows, scores = arguments.Writer("clean", "train", 3).candidates(40, 3)
    for row, own in zip(rows, scores):
        assert len(set(own)) == 3 and list(row.responses) == sorted(row.responses)
        for text, score in zip(row.responses, own):
            kinds = [KINDS[s] for s in sentences(text)]
            sound = sum(kind == (row.prompt, "reason") for kind in kinds)
            assert len(kinds) == 3 and sound == 3 + score
    assert len({tuple(own) for own in scores}) > 6  # the order says nothing
