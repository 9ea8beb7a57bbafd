"""Packed rows, their masks, and batches, against texts read one by one."""
import random
from itertools import islice

import pytest
import torch
from conftest import ROWS

import data
from data import Preference
from support.language import tokens_to_predict


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


def small_encoded(seed):
    """A few records of so few different tokens that texts often begin alike, or are the same."""
    rng = random.Random(seed)

    def tokens(low):
        return [rng.randrange(3, 6) for _ in range(rng.randrange(low, 7))]

    return [record([2, *tokens(0)], *(tokens(1) for _ in range(rng.randrange(1, 4))))
            for _ in range(rng.randrange(1, 7))]


def record(prompt, *responses):
    return data.Encoded(len(prompt), [prompt + response for response in responses])


def texts_of(encoded):
    return [text for _, texts in encoded for text in texts]


def sight(blocks, window=None):
    """Who sees whom of a row, (T, T), put together from its blocks: queries come in order."""
    queries = [q for q, *_ in blocks.sizes]
    table = torch.zeros(sum(queries), sum(queries), dtype=torch.bool)
    rows = torch.arange(sum(queries)).split(queries)
    keys = blocks.keys.split([k for _, k, _ in blocks.sizes])
    for row, columns, mask in zip(rows, keys, blocks.masks(window), strict=True):
        n = len(columns)
        mask = torch.ones(n, n, dtype=torch.bool).tril()[-len(row):] if mask is None else mask
        table[row[:, None], columns] = mask
    return table


@pytest.mark.parametrize("block", [2, 8, 64])
@pytest.mark.parametrize("share", [True, False])
def test_a_packed_row_holds_each_text(share, block, monkeypatch):
    """What the last token of a response sees, in the order of positions, is its text alone."""
    monkeypatch.setattr(data, "BLOCK", block)
    encoded = random_encoded()
    batch = data.pack(encoded, pad_id=1, share=share)
    for n, text in enumerate(texts_of(encoded)):
        row, column = batch["last_row"][n], batch["last_column"][n]
        if share:
            seen = sight(batch["blocks"])[column].nonzero()[:, 0]
            assert batch["position_ids"][row, seen].tolist() == list(range(len(text)))
            near = sight(batch["blocks"], 7)[column].nonzero()[:, 0]
            assert torch.equal(near, seen[-7:])
        else:
            seen = torch.arange(int(column) + 1)
        assert batch["input_ids"][row, seen].tolist() == text
    assert batch["counts"] == [3] * 5
    assert batch["input_ids"].shape[0] == (1 if share else 15)
    assert batch.keys() & {"position_ids", "blocks"} == (
        {"position_ids", "blocks"} if share else set())


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


def test_what_texts_begin_with_is_there_once():
    """As many positions as different beginnings, counted as a set of prefixes."""
    encoded = random_encoded(1, rows=4)
    batch = data.pack(encoded)
    beginnings = {tuple(text[:i]) for text in texts_of(encoded) for i in range(1, len(text) + 1)}
    assert batch["input_ids"].shape == (1, len(beginnings))
    assert len(beginnings) < sum(map(len, texts_of(encoded))) / 2


@pytest.mark.parametrize("block", [1, 5, 64])
def test_a_row_against_brute_force(block, monkeypatch):
    """Each column is the beginning of a text, and sees the columns that its beginning begins with,
    near ones alone in a window. A block has the keys that its tokens see, and no others."""
    monkeypatch.setattr(data, "BLOCK", block)
    for encoded in (mixed_encoded(), *map(small_encoded, range(300))):
        batch, texts, prefixes = data.pack(encoded), texts_of(encoded), {}
        blocks, ids = batch["blocks"], batch["input_ids"][0].tolist()
        for text, columns in zip(texts, batch["columns"], strict=True):
            for n, column in enumerate(columns, 1):
                assert prefixes.setdefault(column, text[:n]) == text[:n]
        prefixes = [tuple(prefixes[column]) for column in range(len(ids))]
        assert len(set(prefixes)) == len(ids) and ids == [prefix[-1] for prefix in prefixes]
        lengths = torch.tensor([len(prefix) for prefix in prefixes])
        assert torch.equal(batch["position_ids"], lengths[None] - 1)
        begins = torch.tensor([[a[:len(b)] == b for b in prefixes] for a in prefixes])
        i = torch.arange(len(ids))[:, None]
        assert torch.equal((i.T <= i) & (i < blocks.end), begins)
        for window in (None, 1, 3, 7):
            near = lengths[:, None] - lengths < (window or len(ids))
            assert torch.equal(sight(blocks, window), begins & near)
        queries, sizes, _ = zip(*blocks.sizes)
        assert min(queries[:-1], default=block) >= block
        for tokens, keys in zip(begins.split(queries), blocks.keys.split(sizes), strict=True):
            assert keys.tolist() == tokens.any(dim=0).nonzero()[:, 0].tolist()


def test_results_come_in_the_order_of_the_records():
    """Records whose texts are far from sorted."""
    encoded = [record([2, 9], [8], [3, 4]), record([2, 5], [7]), record([2, 9], [3], [8], [1])]
    for share in (True, False):
        batch = data.pack(encoded, share=share)
        assert batch["counts"] == [2, 1, 3] and batch["n_prompts"] == [2, 2, 2]
        rows = batch["last_row"].tolist()
        assert rows == ([0] * 6 if share else [*range(6)])
        for n, text in enumerate(texts_of(encoded)):
            assert batch["input_ids"][rows[n], batch["columns"][n]].tolist() == text
        assert batch["last_column"].tolist() == [columns[-1] for columns in batch["columns"]]


def test_masks_are_made_once_of_a_few_integers_a_token():
    rng = random.Random(0)
    records = [record([2, *(rng.randrange(3, 99) for _ in range(300))], *(
        [rng.randrange(3, 99) for _ in range(200)] for _ in range(2))) for _ in range(4)]
    blocks = data.pack(records)["blocks"]
    assert blocks.masks(7) is blocks.masks(7) is not blocks.masks()
    assert blocks.masks(7) is not blocks.to("cpu").masks(7)
    assert [mask is None for mask in blocks.masks()] == [True, False] * 4
    assert all(mask is not None for mask in blocks.masks(500))
    integers = sum(tensor.numel() for tensor in (blocks.keys, blocks.position, blocks.end))
    assert integers < 4 * len(blocks.end)


def test_a_text_that_is_there_already_keeps_its_place():
    """The same record twice, a response that begins another, and one that goes on otherwise: no
    token twice."""
    records = record([2, 5], [6, 7], [6]), record([2, 5], [6], [6, 7]), record([2, 5], [6, 8])
    batch = data.pack(records)
    assert batch["input_ids"].tolist() == [[2, 5, 6, 7, 8]]
    assert batch["last_column"].tolist() == [3, 2, 2, 3, 4]
    assert batch["counts"] == [2, 2, 1]
    assert batch["blocks"].sizes == [(5, 5, False)]
    assert batch["blocks"].end.tolist() == [5, 5, 5, 4, 5]


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
    sizes = [sum(encoded[i].size for i in b["index"]) for b in batches]
    assert max(sizes) < 200 + max(record.size for record in encoded)
    for batch in batches:
        last = batch["input_ids"][batch["last_row"], batch["last_column"]].tolist()
        assert last == [text[-1] for i in batch["index"] for text in encoded[i].texts]


def test_a_batch_is_packed_when_it_is_asked_for(monkeypatch):
    packed, pack = [], data.pack
    monkeypatch.setattr(data, "pack", lambda *args: packed.append(1) or pack(*args))
    batches = data.evaluation_batches(random_encoded(rows=40), tokens=100)
    assert not packed and next(batches)["index"] and len(packed) == 1
    assert 1 + len(list(batches)) == len(packed) > 2


def test_measuring_goes_by_length():
    encoded = random_encoded(rows=40)
    batches = list(data.evaluation_batches(encoded, tokens=100))
    sizes = [encoded[i].size for batch in batches for i in batch["index"]]
    assert sizes == sorted(sizes) and sizes != [record.size for record in encoded]


def test_rows_are_filled_with_the_padding_token():
    batch = data.pack([data.Encoded(1, [[2, 5], [2, 6, 7, 8]])], pad_id=9, share=False)
    assert batch["input_ids"].tolist() == [[2, 5, 9, 9], [2, 6, 7, 8]]


def test_what_a_script_may_give_by_mistake(tiny):
    for record in (lambda: Preference("p", "good", "bad"), lambda: data.Unlabeled("p", "text")):
        with pytest.raises(data.InputError, match="a tuple of texts, not a text"):
            record()
    with pytest.raises(data.InputError, match="no records"):
        next(data.training_batches([[]], None, 2, 1))
