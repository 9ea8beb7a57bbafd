"""Files and folders that the package `datasets` wrote, and data sets of the hub; no network."""
import json
import sys

import pytest
from test_conversations import (BAD, GOOD, USER, WORSE, chatml, texts,  # noqa: F401
                                tiny_tokenizer, written)
from test_records import PAIR, TEXT, write

from data import InputError, Preference
from domains.files import read_rows
from domains.records import load_preferences

ROW = {"prompt": "Q?", "chosen": "good", "rejected": "bad"}


@pytest.fixture
def datasets():
    package = pytest.importorskip("datasets")
    package.disable_progress_bars()
    return package


def made(datasets, *rows):
    return datasets.Dataset.from_list(list(rows))


def test_parquet_and_arrow(datasets, tmp_path):
    rows = [ROW | {"chosen": f"good {i}"} for i in range(3)]
    made(datasets, *rows).to_parquet(tmp_path / "a.parquet")
    made(datasets, *rows).to_parquet(tmp_path / "[b] lang=en*.PARQUET")
    import pyarrow
    table = pyarrow.Table.from_pylist(rows)
    with pyarrow.ipc.new_stream(tmp_path / "c.arrow", table.schema) as stream:
        stream.write_table(table)
    for name in ("a.parquet", "[b] lang=en*.PARQUET", "c.arrow"):
        assert read_rows(tmp_path / name) == [
            (f"{tmp_path / name}: record {i}", row) for i, row in enumerate(rows, 1)]
    assert len(read_rows(tmp_path)) == 9


def test_conversations_in_parquet(datasets, tmp_path, chatml):  # noqa: F811
    """As arrays, with nothing where a message lacks a field that another one has."""
    made(datasets, {"prompt": "Q", "chosen": [USER | {"name": "me"}, GOOD],
                    "rejected": [[USER | {"name": "me"}, BAD], [USER | {"name": "me"}, WORSE]]}
         ).to_parquet(tmp_path / "a.parquet")
    (record,) = load_preferences(tmp_path / "a.parquet", chatml)
    assert texts(record) == [written(chatml, USER, message) for message in (GOOD, BAD, WORSE)]


def test_what_to_csv_wrote(datasets, tmp_path, chatml):  # noqa: F811
    dataset = made(datasets, {"prompt": "Q", "chosen": [USER, GOOD], "rejected": [USER, BAD]})
    expected = [written(chatml, USER, message) for message in (GOOD, BAD)]
    dataset.to_csv(tmp_path / "a.csv")
    dataset.to_pandas().to_csv(tmp_path / "b.csv", sep="\t")
    for name in ("a.csv", "b.csv"):
        assert texts(load_preferences(tmp_path / name, chatml)[0]) == expected
    explicit = made(datasets, {"prompt": [USER], "chosen": [GOOD], "rejected": [BAD]})
    explicit.to_pandas().to_csv(tmp_path / "c.csv", index=False)
    assert texts(load_preferences(tmp_path / "c.csv", chatml)[0]) == expected


def test_folders_of_save_to_disk(datasets, tmp_path, capsys):
    one, other = (made(datasets, ROW | {"chosen": name}) for name in ("one", "other"))
    one.save_to_disk(tmp_path / "single")
    for name, splits in (("train", {"train": one, "test": other}), ("only", {"test": other}),
                         ("several", {"a": one, "b": other})):
        datasets.DatasetDict(splits).save_to_disk(tmp_path / name)
    for folder, chosen, said in (
            ("single", "one", ""), ("train", "one", "; passed over: split test"),
            ("only", "other", ""), ("train/test", "other", ""), ("several/b", "other", "")):
        capsys.readouterr()
        assert load_preferences(tmp_path / folder) == [Preference("Q?", chosen, ("bad",))]
        assert capsys.readouterr().err == f"{tmp_path / folder}: 1 record{said}\n"
    with pytest.raises(InputError, match="which of its splits.*several/a, .*several/b"):
        read_rows(tmp_path / "several")


def test_zstandard(datasets, tmp_path):
    import pyarrow
    for name, text in (("a.jsonl.zst", TEXT), ("b.CSV.ZST", "prompt;chosen;rejected\nQ?;good;bad")):
        with pyarrow.output_stream(tmp_path / name, compression="zstd") as f:
            f.write(text.encode())
        assert load_preferences(tmp_path / name) == [PAIR]
    (tmp_path / "a.jsonl.zst").write_bytes(b"no")
    with pytest.raises(InputError, match="a.jsonl.zst: cannot be read: "):
        read_rows(tmp_path / "a.jsonl.zst")


def test_a_data_set_of_the_hub(datasets, monkeypatch, capsys):
    asked = []
    splits = {name: made(datasets, ROW | {"chosen": name}) for name in ("test", "train")}
    monkeypatch.setattr(datasets, "load_dataset", lambda *args, **options: (
        asked.append((args, options)), datasets.DatasetDict(splits))[1])
    assert load_preferences("hub:owner/name")[0].chosen == "train"
    assert load_preferences("hub:owner/name:test")[0].chosen == "test"
    assert capsys.readouterr().err == ("hub:owner/name: 1 record; passed over: split test\n"
                                       "hub:owner/name:test: 1 record; passed over: split train\n")
    with pytest.raises(InputError, match="which of its splits. There are hub:owner/name:test, h"):
        read_rows("hub:owner/name:prefs")
    assert asked == [(("owner/name",), {})] * 3  # in particular no trust_remote_code
    monkeypatch.undo()
    with pytest.raises(InputError, match="hub:owner/no-such-name: cannot be read: .+") as error:
        read_rows("hub:owner/no-such-name")
    assert "\n" not in str(error.value)


def test_without_the_package_one_line_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "datasets", None)
    for name in ("a.parquet", "b.arrow", "c.jsonl.zst", "saved/state.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    for path in (tmp_path / "a.parquet", tmp_path / "b.arrow", tmp_path / "c.jsonl.zst",
                 tmp_path / "saved", "hub:owner/name", "hub:owner/name:train"):
        with pytest.raises(InputError) as error:
            read_rows(path)
        assert str(error.value) == f"{path}: needs the package datasets: pip install datasets"
    write(tmp_path / "d.jsonl", json.dumps(ROW))
    assert load_preferences(tmp_path) == [PAIR]
    assert capsys.readouterr().err == (
        f"{tmp_path}: 1 record of 1 file; passed over: " + ", ".join(
            f"{name} (needs the package datasets: pip install datasets)"
            for name in ("a.parquet", "b.arrow", "c.jsonl.zst")) + ", saved/\n")


@pytest.mark.parametrize("name", ["", "short", "owner/", "/name", "owner/name:", "owner/name/",
                                  "owner/name:a/b", ":a", "owner:x/name"])
def test_names_of_the_hub(name):
    with pytest.raises(InputError, match="named hub:owner/name, hub:owner/name:split or hub:own"):
        read_rows(f"hub:{name}")
