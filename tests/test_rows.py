"""Packed rows and their masks, against texts read one by one and brute force."""
import random

import pytest
import torch
from test_batches import mixed_encoded, random_encoded, record, texts_of

import data


def small_encoded(seed):
    """A few records of so few different tokens that texts often begin alike, or are the same."""
    rng = random.Random(seed)

    def tokens(low):
        return [rng.randrange(3, 6) for _ in range(rng.randrange(low, 7))]

    return [record([2, *tokens(0)], *(tokens(1) for _ in range(rng.randrange(1, 4))))
            for _ in range(rng.randrange(1, 7))]


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


def test_what_texts_begin_with_is_there_once():
    """As many positions as different beginnings, counted as a set of prefixes."""
    encoded = mixed_encoded()
    batch = data.pack(encoded)
    beginnings = {tuple(text[:i]) for text in texts_of(encoded) for i in range(1, len(text) + 1)}
    assert batch["input_ids"].shape == (1, len(beginnings))
    assert len(beginnings) < sum(map(len, texts_of(encoded))) / 2


@pytest.mark.parametrize("block", [1, 5, 64])
def test_a_row_against_brute_force(block, monkeypatch):
    """Each column is the beginning of a text, and sees the columns that its beginning begins with,
    near ones alone in a window. A block has the keys that its tokens see, and no others."""
    monkeypatch.setattr(data, "BLOCK", block)
    for encoded in (mixed_encoded(), *map(small_encoded, range(80))):
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
