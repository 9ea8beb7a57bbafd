"""Batches of records, against texts read one by one."""
from itertools import islice

import pytest
import torch
from conftest import ROWS

import data
from data import Preference
from models.language import tokens_to_predict


def size(record, share=True):
    """The number of tokens of a record, with `share` the prompt's counted once."""
    if not share:
        return sum(len(text) for text in record.texts)
    return record.n_prompt + sum(len(text) - record.n_prompt for text in record.texts)


def random_encoded(seed=0, rows=5):
    """Records of random tokens: prompts of 11 to 26 that begin alike, three responses of 1 to 9."""
    g = torch.Generator().manual_seed(seed)

    def tokens(low, high):
        n = int(torch.randint(low, high + 1, (), generator=g))
        return torch.randint(3, 300, (n,), generator=g).tolist()

    prompts = [[2, 3, 4, 5, 6, 7, *tokens(5, 20)] for _ in range(rows)]
    return [record(prompt, *(tokens(1, 9) for _ in range(3))) for prompt in prompts]


def mixed_encoded():
    """Those records; one of them again in another order; two that go on from a text of it, one
    from the other; and the same text twice."""
    encoded = random_encoded()
    n_prompt, texts = encoded[2]
    return [*encoded, data.Encoded(n_prompt, texts[::-1]), record(texts[0], [9, 9, 4], [9]),
            record(texts[0], [9, 9, 5]), data.Encoded(n_prompt, [texts[1], texts[1]])]


def record(prompt, *responses):
    return data.Encoded(len(prompt), [prompt + response for response in responses])


def texts_of(encoded):
    return [text for _, texts in encoded for text in texts]


@pytest.mark.parametrize("share", [True, False])
def test_tokens_to_predict_are_those_of_each_text(share):
    """Each (token before, token, record, response or -1) by reading the texts left to right."""
    encoded, expected, number = random_encoded(3), [], 0
    for i, (n_prompt, texts) in enumerate(encoded):
        prompt = texts[0][:n_prompt]
        expected += [(a, b, i, -1) for a, b in zip(prompt, prompt[1:])]
        for text in texts:
            text = text[n_prompt - 1:]
            expected += [(a, b, i, number) for a, b in zip(text, text[1:])]
            number += 1
    batch = data.pack(encoded, share=share)
    tokens = tokens_to_predict(batch)
    before = batch["input_ids"][tokens["row"], tokens["before"]]
    parts = (before, tokens["token"], tokens["record"], tokens["response"])
    assert sorted(zip(*(part.tolist() for part in parts))) == sorted(expected)


def test_pairs_of_a_training_batch():
    """Records say by their tokens who they are: 10 i and 10 i + k, a chosen one ends in 0."""
    parts = [[record([2], *([10 * i + k] for k in range(n))) for i, n in enumerate(ns, start)]
             for start, ns in ((1, (2, 4, 3)), (11, (2, 3)))]
    for batch in islice(data.training_batches(parts, [record([2], [3])], 2, 6), 6):
        last = batch["input_ids"][batch["last_row"], batch["last_column"]]
        chosen, rejected = last[batch["chosen"]], last[batch["rejected"]]
        expected = [10 * (t // 10) for t in last[: batch["n_source"]].tolist() if t % 10]
        assert chosen.tolist() == expected and (last[batch["n_source"]:] == 3).all()
        assert rejected.tolist() == [t for t in last[: batch["n_source"]].tolist() if t % 10]
        assert [len(set(chosen[mask].tolist())) for mask in (chosen < 100, chosen > 100)] == [2, 2]


def test_epochs_differ_in_order_hold_everything_and_do_not_depend_on_the_target():
    pairs = [record([2], [3 + i], [20 + i]) for i in range(8)]
    target = [record([2], [40 + i]) for i in range(5)]

    def responses(batch):
        return batch["input_ids"][batch["last_row"], batch["last_column"]].tolist()

    alone = list(data.training_batches([pairs], None, 4, 4))
    for a, b in zip(alone, data.training_batches([pairs], target, 4, 4), strict=True):
        assert responses(a) == responses(b)[:8] and a["n_source"] == 8
        assert torch.equal(a["chosen"], b["chosen"]) and len(b["last_row"]) == 12
    first, second = ([t for batch in part for t in responses(batch)[::2]]
                     for part in (alone[:2], alone[2:]))
    assert sorted(first) == sorted(second) == list(range(3, 11)) and first != second


@pytest.mark.parametrize("share", [True, False])
def test_batches_of_a_token_budget_hold_every_record_once(tiny, share):
    encoded = data.encode(ROWS + [Preference("long " * 30, "a", ("b",))], tiny[1], 512)
    batches = list(data.evaluation_batches(encoded, tokens=200, share=share))
    assert sorted(i for batch in batches for i in batch["index"]) == list(range(9))
    assert len(batches) > 2
    sizes = [sum(size(encoded[i], share) for i in b["index"]) for b in batches]
    assert max(sizes) < 200 + max(size(record, share) for record in encoded)
    for batch in batches:
        last = batch["input_ids"][batch["last_row"], batch["last_column"]].tolist()
        assert last == [text[-1] for i in batch["index"] for text in encoded[i].texts]


def test_a_prompt_counts_once_a_text_where_it_stands_once_a_text():
    encoded = [data.Encoded(50, [[*range(50), k] for k in range(10)])] * 4  # 60 or 510 tokens
    for share, n_batches in ((True, 2), (False, 4)):
        assert len(list(data.evaluation_batches(encoded, tokens=200, share=share))) == n_batches


def test_a_batch_is_packed_when_it_is_asked_for(monkeypatch):
    packed, pack = [], data.pack
    monkeypatch.setattr(data, "pack", lambda *args, **kw: packed.append(1) or pack(*args, **kw))
    batches = data.evaluation_batches(random_encoded(rows=40), tokens=100)
    assert not packed and next(batches)["index"] and len(packed) == 1
    assert 1 + len(list(batches)) == len(packed) > 2


def test_measuring_goes_by_length():
    encoded = random_encoded(rows=40)
    batches = list(data.evaluation_batches(encoded, tokens=100))
    sizes = [size(encoded[i]) for batch in batches for i in batch["index"]]
    assert sizes == sorted(sizes) and sizes != [size(record) for record in encoded]


def test_batches_that_were_trained_on_are_passed_over(monkeypatch):
    """In any epoch, and without packing them."""
    packed, pack, parts = [], data.pack, (random_encoded(1, 5), random_encoded(2, 7))
    monkeypatch.setattr(data, "pack", lambda *args: packed.append(1) or pack(*args))
    batches = [*data.training_batches([parts[0]], parts[1], 2, 9)]
    for start in (0, 1, 4, 9):
        packed.clear()
        rest = [*data.training_batches([parts[0]], parts[1], 2, 9, start=start)]
        assert len(rest) == len(packed) == 9 - start
        for batch, expected in zip(rest, batches[start:], strict=True):
            assert batch["input_ids"].tolist() == expected["input_ids"].tolist()
            assert batch["chosen"].tolist() == expected["chosen"].tolist()


def test_rows_are_filled_with_the_padding_token():
    batch = data.pack([data.Encoded(1, [[2, 5], [2, 6, 7, 8]])], pad_id=9, share=False)
    assert batch["input_ids"].tolist() == [[2, 5, 9, 9], [2, 6, 7, 8]]


def test_what_a_script_may_give_by_mistake(tiny):
    for record in (lambda: Preference("p", "good", "bad"), lambda: data.Unlabeled("p", "text"),
                   lambda: Preference("p", "good", ()), lambda: data.Unlabeled("p", ())):
        with pytest.raises(data.InputError, match="a tuple of texts, not a text"):
            record()
    with pytest.raises(data.InputError, match="no records"):
        next(data.training_batches([[]], None, 2, 1))
    pairs = [data.Encoded(1, [[2, 3], [2, 4]])]
    for labeled, target in (([pairs], []), ([None], pairs)):
        with pytest.raises(data.InputError, match="no records"):
            next(data.training_batches(labeled, target, 2, 1))
