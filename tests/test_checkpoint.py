"""A training that was stopped and goes on from its checkpoint: the same bits as undisturbed. A small
module trains here, with dropout, so that it draws from the generator.
"""
import json
import os
from dataclasses import replace

import pytest
import torch
from conftest import FAST, SMALL
from torch import nn

import cross_lingual
import data
import dial
from data import InputError
from harness.checkpoint import Checkpoint
from methods.table import METHODS

CONFIG = dial.DialConfig(steps=13, learning_rate=1e-2, critic_learning_rate=1e-2, lambda_da=1.0,
                         warmup_steps=3, decay=0.3, scale_embeddings=True)
PART = {"n_source": 4, "chosen": torch.tensor([0, 2]), "rejected": torch.tensor([1, 3])}


class Learner(nn.Module):
    """What `dial.train` trains; its body is frozen, as a backbone is."""

    def __init__(self):
        super().__init__()
        self.body, self.lora = nn.Linear(6, 8).requires_grad_(False), nn.Linear(8, 4)
        self.dropout, self.reward_head = nn.Dropout(0.2), nn.Linear(4, 1, bias=False)
        self.register_buffer("scale", torch.ones(()))

    def embed(self, batch):
        return self.dropout(self.lora(torch.tanh(self.body(batch["x"])))) / self.scale

    set_scale = dial.RewardModel.set_scale


class Stopped(Exception):
    pass


def rest(start=0):
    draw = torch.Generator().manual_seed(3)
    made = [{"x": torch.randn(8, 6, generator=draw)} | PART for _ in range(CONFIG.steps)]
    return made[start:]


def run(path, stop=None, every=4, settings=None, seed=0):
    """Train; after step `stop` an error comes in place of a SIGKILL. Returns all that is left of
    the training: log, trained weights, generator."""
    torch.manual_seed(seed)
    model, critic = Learner(), dial.Critic(4, (5,))
    checkpoint = Checkpoint(path, every, settings or {"x": "a"})

    def evaluate(step):
        if step == stop:
            raise Stopped
        return {"look": float(step)} if step % 5 == 0 else None

    torch.manual_seed(0)
    log = dial.train(model, critic, rest(checkpoint.step), CONFIG, evaluate=evaluate,
                     checkpoint=checkpoint)
    weights = [x.clone() for m in (model, critic) for x in m.state_dict().values()]
    return log, [*weights, torch.get_rng_state()]


def same(first, second):
    return first[0] == second[0] and all(map(torch.equal, first[1], second[1]))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    return run(tmp_path_factory.mktemp("none") / "x", every=0)


@pytest.mark.parametrize("stop", [1, 4, 5, 8, 12, 13])
def test_a_training_goes_on_to_the_same_bits(tmp_path, undisturbed, capsys, stop):
    """From the last checkpoint, though the learners begin with what they are made with."""
    with pytest.raises(Stopped):
        run(tmp_path / "x", stop)
    kept = (stop - 1) // 4 * 4  # the checkpoint comes after the evaluation
    assert same(run(tmp_path / "x"), undisturbed)
    said = capsys.readouterr().err
    assert (f"x: the run goes on after step {kept}\n" in said) if kept else "goes on" not in said


def test_a_training_is_stopped_many_times(tmp_path, undisturbed):
    for stop in (3, 6, 7, 10, 11):
        with pytest.raises(Stopped):
            run(tmp_path / "x", stop, every=2)
    assert same(run(tmp_path / "x", every=0), undisturbed)  # what is there is used, none is added


def test_nothing_is_written_where_none_is_asked_for(tmp_path, undisturbed):
    assert same(run(tmp_path / "x", every=0), undisturbed) and not [*tmp_path.iterdir()]


# ------------------------------------------------------------------ the file


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """The bytes of a checkpoint."""
    path = tmp_path_factory.mktemp("kept") / "x"
    with pytest.raises(Stopped):
        run(path, stop=10)
    return path.read_bytes()


@pytest.mark.parametrize("part", range(10))
def test_a_damaged_checkpoint_is_noticed(tmp_path, undisturbed, kept, capsys, part):
    """Cut short, or a single bit flipped, anywhere."""
    place = len(kept) * part // 10
    flipped = kept[:place] + bytes([kept[place] ^ 1]) + kept[place + 1:]
    for content in (kept[:place], flipped):
        (tmp_path / "x").write_bytes(content)
        assert Checkpoint(tmp_path / "x", 4, {"x": "a"}).step == 0
        assert capsys.readouterr().err == f"{tmp_path / 'x'} is damaged: the run begins again\n"
    assert same(run(tmp_path / "x"), undisturbed)


def test_a_checkpoint_that_runs_code_is_not_loaded(tmp_path, capsys):
    """Not even with a checksum that is right."""
    class Code:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "made"),)

    checkpoint = Checkpoint(tmp_path / "x", 1, {"x": "a"})
    checkpoint.write({"settings": '{"x": "a"}', "log": Code()})
    assert Checkpoint(tmp_path / "x", 1, {"x": "a"}).step == 0
    assert "is damaged" in capsys.readouterr().err and not (tmp_path / "made").exists()


def test_a_checkpoint_of_another_training_is_refused(tmp_path, kept):
    (tmp_path / "x").write_bytes(kept)
    with pytest.raises(InputError, match="x is of other settings, data or weights: choose another"):
        run(tmp_path / "x", settings={"x": "b"})
    assert (tmp_path / "x").read_bytes() == kept


def test_a_checkpoint_stands_where_files_are_added(tmp_path):
    """With --paper, by --pairs; not where a file has changed."""
    for settings in ({"checksum": {"a": 1}}, {"checksum": {"a": 1, "b": 2}}):
        checkpoint = Checkpoint(tmp_path / "x", 1, settings)
        checkpoint.write({"settings": checkpoint.settings, "log": [], "seconds": 0})
    with pytest.raises(InputError, match="is of other settings, data or weights"):
        Checkpoint(tmp_path / "x", 1, {"checksum": {"a": 1, "b": 3}})


def test_a_checkpoint_is_written_whole_or_not_at_all(tmp_path, undisturbed, kept, monkeypatch,
                                                     capsys):
    """A kill, or a full disk, in the middle of writing leaves the one before."""
    (tmp_path / "x").write_bytes(kept)

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert same(run(tmp_path / "x"), undisturbed)
    assert (tmp_path / "x").read_bytes() == kept and len([*tmp_path.iterdir()]) == 1
    assert capsys.readouterr().err.count("x: cannot be written: No space left on device; the run goes on\n") == 1


# ------------------------------------------------------------------ a command


def test_a_command_goes_on_within_its_run(tmp_path, cache, monkeypatch, capsys, undrawn):
    """--checkpoint-every: the run's file is that of an undisturbed command, but for the seconds; it
    packs no batch that it has trained on; the checkpoint is of these settings, and goes."""
    packed, pack = [], data.pack
    monkeypatch.setattr(data, "pack", lambda *a, **k: packed.append(1) or pack(*a, **k))

    def command(out, *flags):
        packed.clear()
        cross_lingual.main([*FAST, *SMALL, "--methods", "DIAL", "--steps", "5", "--out",
                            str(tmp_path / out), "--checkpoint-every", "2", *flags])
        (path,) = (tmp_path / out / "runs").glob("DIAL-0-*")  # no checkpoint is there any more
        return json.loads(path.read_text()) | {"seconds": None, "sha256": None}

    def stop_in_the_last_step(*args):
        if len(packed) == 5:
            raise KeyboardInterrupt
        return dial.dial_step(*args)

    expected, n_packed = command("a"), len(packed)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setitem(METHODS, "DIAL", replace(METHODS["DIAL"], step=stop_in_the_last_step))
        command("b")
    (kept,) = (tmp_path / "b" / "runs").glob("*.checkpoint")
    with pytest.raises(InputError, match="settings.json has lambda_da 1.0, not 3.0: choose anothe"):
        command("b", "--methods", "Src-Pref", "DIAL", "--set", "lambda_da=3")
    assert not packed  # it is refused before anything is trained
    assert command("b", "--checkpoint-every", "0") == expected and len(packed) == n_packed - 4
    assert f"{kept}: the run goes on after step 4\n" in capsys.readouterr().err
