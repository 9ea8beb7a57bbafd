"""Files of every form that were damaged: read or refused, in one line."""
import json
import random

from test_conversations import BAD, GOOD, USER, chatml, tiny_tokenizer  # noqa: F401
from test_datasets import ROW, datasets, made  # noqa: F401
from test_folders import as_numpy
from test_records import load_unlabeled

import data
from data import InputError
from domains import records


def samples():
    """(name, bytes) of small files of every form."""
    rows = [json.dumps(row) for row in (
        {"prompt": "Q", "chosen": "a", "rejected": ["b", "c"]},
        {"chosen": "H: Q A: a", "rejected": "H: Q A: b"}, {"prompt": "p", "responses": ["a", "b"]},
        {"text": "t", "label": 1.5}, {"prompt": [USER], "chosen": [GOOD], "rejected": [BAD]},
        {"prompt": "Q", "chosen": [USER, GOOD], "rejected": [[USER, BAD]]},
        {"prompt": "Q", "messages": [USER, GOOD]})]
    cells = [f'Q,"{form([USER, GOOD])}","{as_numpy([USER, BAD])}"'.replace("'", '""')
             for form in (repr, as_numpy)]
    tables = ["prompt,chosen,rejected\nQ,a,b\nR,\"c\nd\",e\n",
              "sep=;\nprompt;chosen;rejected\nQ;a;b", "text\tlabel\nt\t1\n",
              "prompt,chosen,rejected\n" + "\n".join(cells)]
    made = [(name, row.encode(encoding)) for row in rows for name, encoding in (
        ("a.jsonl", "utf-8"), ("a.json", "utf-8-sig"), ("a.ndjson", "utf-16"))]
    return made + [("a.json", f"[{','.join(rows[:2])}]".encode())] + [
        (name, text.encode(encoding)) for text in tables for name in ("a.csv", "a.tsv")
        for encoding in ("utf-8", "utf-16")]


def damaged(content, rng):
    """Bytes replaced, left out, doubled or cut off."""
    content, special = bytearray(content), b'{}[]",;:\n\r\t\\\x00\xff\xe9\'0\xed\xa0\xbd '
    for _ in range(rng.randrange(4)):
        i, j = sorted(rng.randrange(len(content) + 1) for _ in range(2))
        if rng.random() < 0.5:
            content[i:i + rng.randrange(2)] = bytes([rng.choice(special)])
        else:
            content[i:j] = rng.choice((b"", content[i:j] * 2, content[i:i + 3]))
    return bytes(content)


def test_damaged_files_are_read_or_refused_in_a_line(tmp_path, chatml):  # noqa: F811
    """2,000 of them."""
    rng, ends = random.Random(0), {"read": 0, "refused": 0}
    files, loaders = samples(), (records.load_preferences, load_unlabeled,
                                 records.load_test)
    for i in range(2000):
        name, content = files[i % len(files)]
        (tmp_path / name).write_bytes(damaged(content, rng))
        try:
            rows = loaders[i % 3](tmp_path / name, chatml)
            data.encode(rows[0] if i % 3 == 2 else rows, chatml, 10_000)
            ends["read"] += 1
        except InputError as error:
            assert "\n" not in str(error) and len(str(error)) < 600
            ends["refused"] += 1
    assert min(ends.values()) > 300


def test_damaged_parquet_and_arrow(datasets, tmp_path):  # noqa: F811
    rng, rows = random.Random(0), [ROW | {"chosen": "good" * i} for i in range(1, 20)]
    made(datasets, *rows).save_to_disk(tmp_path / "saved")
    made(datasets, *rows).to_parquet(tmp_path / "a.parquet")
    (tmp_path / "a.arrow").write_bytes(next((tmp_path / "saved").glob("*.arrow")).read_bytes())
    for name in ("a.parquet", "a.arrow"):
        whole = (tmp_path / name).read_bytes()
        for _ in range(60):
            content = bytearray(whole[:rng.choice((len(whole), rng.randrange(len(whole))))])
            for _ in range(3):
                i = rng.randrange(len(content) + 1)
                content[i:i + 1] = bytes([rng.randrange(256)])
            (tmp_path / name).write_bytes(content)
            try:
                records.load_preferences(tmp_path / name)
            except InputError as error:
                assert "\n" not in str(error)
