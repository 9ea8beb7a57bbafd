"""What is opened of a model: no code and no pickles of others, and no traceback for what cannot be
used. tests/test_made.py has the cache, tests/test_checksum.py the weights that change."""
import ast
import json
import os
import pickle
import shutil

import pytest
import torch
from conftest import ROOT
from safetensors.torch import load_file, save_file

import dial
from data import InputError
from models import backbones, opening, saving

INDEX = "model.safetensors.index.json"


@pytest.fixture
def folder(cache, tmp_path):
    """A copy of the tiny model."""
    return shutil.copytree(backbones.locate("tiny"), tmp_path / "model")


def change(path, **fields):
    """Give fields of a JSON file other values; None deletes one."""
    content = json.loads(path.read_text()) | fields
    path.write_text(json.dumps({k: v for k, v in content.items() if v is not None}))


def refused(folder):
    """The line that says why a model is not loaded."""
    with pytest.raises(InputError) as error:
        backbones.load(str(folder), "cpu", "float32")
    assert str(error.value).startswith((str(folder), "--model")) and len(str(error.value)) < 500
    return str(error.value)


def flip(path, at=-1):
    """One bit, at the same time of change."""
    content, stat = bytearray(path.read_bytes()), path.stat()
    content[at] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def test_nobody_elses_code_is_trusted():
    """Each call of from_pretrained says so."""
    calls = []
    for path in [*ROOT.glob("*.py"), *ROOT.glob("experiments/**/*.py"), *ROOT.glob("toy/*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "from_pretrained":
                options = [ast.unparse(k.value) for k in node.keywords if k.arg is None]
                calls.append((path.name, node.lineno, "TRUST" in options))
    assert len(calls) > 5 and all(trusted for *_, trusted in calls), calls
    assert opening.TRUST == {"trust_remote_code": False}


# ------------------------------------------------------------------ configurations


@pytest.mark.parametrize("fields, message", [
    ({"attn_implementation": "kernels-community/flash-attn"}, "has attn_implementation kernels-"),
    ({"text_config": {"_attn_implementation": "a/b"}}, "has _attn_implementation a/b"),
    ({"quantization_config": {"quant_method": "bitsandbytes"}}, "has quantization_config"),
    ({"transformers_weights": "adapter_model.bin"}, "has transformers_weights adapter_model.bin"),
    ({"num_hidden_layers": 3}, "does not fit its weights: see layers.3."),
    ({"num_hidden_layers": 5}, "cannot be loaded"),  # of no kind
    ({"num_hidden_layers": 6, "layer_types": ["full_attention"] * 6},
     "does not fit its weights: see model.layers.4."),
    ({"head_dim": 8}, "does not fit its weights: see model.layers.0."),
    ({"hidden_act": "x", "hidden_activation": "x"}, "cannot be loaded"),
    ({"hidden_size": -1}, "cannot be loaded"), ({"vocab_size": "x"}, "cannot be loaded"),
    ({"sliding_window": -7}, "sliding_window is below 1"),
    ({"attention_dropout": -5.5}, "cannot be loaded"), ({"model_type": None}, "cannot be loaded"),
    ({"intermediate_size": 2_000_000}, "more than its safetensors files hold"),
    ({"num_hidden_layers": 5_000_000, "layer_types": None}, "has 5000000 layers"),
    ({"rms_norm_eps": -1e9}, "embeddings are not finite")])
def test_configurations_that_cannot_be_used(folder, fields, message):
    if fields.get("num_hidden_layers") == 3:
        fields["layer_types"] = ["full_attention"] * 3
    change(folder / "config.json", **fields)
    assert message in refused(folder)


def test_a_field_of_transformers_own_is_no_kernel(folder):
    """Some versions of it wrote this into every config.json."""
    change(folder / "config.json", _attn_implementation_autoset=True)
    backbones.load(str(folder), "cpu", "float32")


@pytest.mark.parametrize("file, content", [
    ("config.json", "[]"), ("config.json", "{"), ("config.json", ""), ("tokenizer.json", None),
    ("model.safetensors", None), (INDEX, "[1]"), (INDEX, '{"weight_map": 3}')])
def test_files_that_are_cut(folder, file, content):
    path = folder / file
    path.write_bytes(content.encode() if content is not None
                     else path.read_bytes()[:path.stat().st_size // 2])
    refused(folder)


def test_a_tokenizer_without_a_token_for_padding(folder):
    change(folder / "tokenizer_config.json", pad_token=None, eos_token=None)
    assert "no token for padding" in refused(folder)


# ------------------------------------------------------------------ where weights come from


def test_the_cache_is_absolute(tmp_path, monkeypatch):
    """A saved adapter remembers where its base model lies."""
    monkeypatch.setattr(opening, "intact", lambda folder: True)
    monkeypatch.setenv("DIAL_CACHE", "here")
    monkeypatch.chdir(tmp_path)
    assert opening.locate("tiny") == str(tmp_path.resolve() / "here" / "tiny")


@pytest.mark.parametrize("file", ["evil.bin", "../outside.safetensors", "/tmp/x.safetensors",
                                  "sub/x.safetensors", "..\\x.safetensors", 3])
def test_an_index_names_safetensors_files_beside_it(folder, file):
    """The pickle would make a folder when it is read."""
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(folder / "ran"),)

    (folder / "evil.bin").write_bytes(pickle.dumps(Evil()))
    (folder / "model.safetensors").rename(folder.parent / "outside.safetensors")
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": {"norm.weight": file}}))
    assert f"{INDEX} names {file}, which is not a safetensors file beside it" in refused(folder)
    assert not (folder / "ran").exists()


def test_shards_that_are_links_are_read(folder):
    """As the hub's cache has them."""
    plain = backbones.load(str(folder), "cpu", "float32").classifier.state_dict()
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = {key: f"part{i % 2}.safetensors" for i, key in enumerate(sorted(weights))}
    for part in set(names.values()):
        save_file({k: weights[k] for k in names if names[k] == part}, folder.parent / part,
                  {"format": "pt"})
        (folder / part).symlink_to(folder.parent / part)
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": names}))
    loaded = backbones.load(str(folder), "cpu", "float32").classifier.state_dict()
    assert all(torch.equal(loaded[k], v) for k, v in plain.items() if "score" not in k)


def test_an_adapter_is_read_from_safetensors_over_a_safe_base(tiny, config, tmp_path):
    saving.save(dial.RewardModel(tiny[0], config), tiny[1], config, tmp_path / "m")
    (tmp_path / "m" / "adapter_model.safetensors").rename(tmp_path / "m" / "adapter_model.bin")
    with pytest.raises(InputError, match="it has no adapter_model.safetensors"):
        saving.load_scorer(str(tmp_path / "m"), "cpu", "float32")
    base = tmp_path / "base"
    base.mkdir()
    (base / "config.json").write_text('{"quantization_config": {"quant_method": "x"}}')
    change(tmp_path / "m" / "adapter_config.json", base_model_name_or_path=str(base))
    with pytest.raises(InputError, match="base: its config.json has quantization_config"):
        saving.load_scorer(str(tmp_path / "m"), "cpu", "float32")
