"""The checksum of a model, in the settings of each run: no run goes on with other weights."""
import os

import pytest
from test_opening import flip, folder  # noqa: F401  (a fixture)
from test_runs import command, contents, loaded, trainer  # noqa: F401  (fixtures)

import rlhf_shift
from data import InputError
from models import opening


def test_the_checksum_is_of_all_that_is_read(folder):  # noqa: F811
    sums = [opening.checksum(str(folder))]
    (folder / "README.md").write_text("not read")
    assert opening.checksum(str(folder)) == sums[0]
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"):
        opening.sha256.cache_clear()
        flip(folder / name)
        sums.append(opening.checksum(str(folder)))
    (folder / "chat_template.jinja").write_text("x")
    sums.append(opening.checksum(str(folder)))
    assert len(set(sums)) == 6


def test_of_a_large_file_it_is_of_size_time_and_header(folder, monkeypatch):  # noqa: F811
    monkeypatch.setattr(opening, "QUICK", 100_000)
    before, path = opening.checksum(str(folder)), folder / "model.safetensors"
    flip(path, at=5)
    opening.sha256.cache_clear()
    headers = opening.checksum(str(folder))
    os.utime(path)
    assert len({before, headers, opening.checksum(str(folder))}) == 3


def test_the_checksum_of_a_name_on_the_hub_is_its_commit(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(opening, "snapshot_download", lambda *args, **_: asked.append(args) or str(
        tmp_path / "snapshots" / "4f2a"))
    assert opening.checksum("somebody/model") == opening.checksum("somebody/model") == "4f2a"
    assert asked == [("somebody/model",)]


def test_a_model_that_is_nowhere():
    with pytest.raises(InputError, match="^nobody/none: cannot be loaded: "):
        opening.checksum("nobody/none")


def test_a_command_does_not_go_on_with_other_weights(folder, command):  # noqa: F811
    done, _ = command("--model", str(folder))
    before = contents(command.folder)
    assert len(done) == 4 and command("--model", str(folder))[0] == []
    flip(folder / "model.safetensors")
    opening.sha256.cache_clear()  # another process
    with pytest.raises(InputError, match="is of other weights in the same place: choose another"):
        command("--model", str(folder))
    assert contents(command.folder) == before


def test_rlhf_shift_keeps_the_checksum_too(folder):  # noqa: F811
    args = rlhf_shift.read_flags(["--model", str(folder)])
    assert rlhf_shift.checksums(args)["model_checksum"] == opening.checksum(str(folder))
