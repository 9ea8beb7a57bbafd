"""Flags, --set, --help and presets; nothing here trains."""
import importlib
import re
from dataclasses import fields

import pytest

import clean_to_noisy
import cross_lingual
import embeddings
import few_shot
import odd_one_out
import scaling
import simple_to_complex
from data import InputError
from dial import DialConfig
from harness.flags import RUNS, SAVE, parse, run_parser
from methods.table import METHODS

COMMANDS = ("clean_to_noisy", "cross_lingual", "embeddings", "few_shot", "odd_one_out", "scaling",
            "simple_to_complex")
ALL_LINEAR = "q_proj,k_proj,v_proj,o_proj,gate_proj,up_proj,down_proj"


def parser_of(name, monkeypatch):
    """The parser that a command makes."""
    made, module = [], importlib.import_module(name)
    monkeypatch.setattr(module, "parse", lambda p, argv: made.append(p) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        module.main([])
    return made[0]


def configured(*flags):
    p = run_parser("", "x", {"steps": 7, "lambda_da": 0.5}, RUNS)
    return parse(p, list(flags)).config


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_has_few_flags_and_helps(name, monkeypatch):
    p = parser_of(name, monkeypatch)
    flags = [action for action in p._actions if action.option_strings]
    assert 14 < len(flags) <= 29 + 1  # with --help
    table = dict(re.findall(r"^  (\w+) +(\S+)  ", p.format_help(), re.M))
    for field in fields(DialConfig):
        value = p.get_default("preset").get(field.name, field.default)
        kind = str if field.type is bool else field.type
        assert kind(table[field.name]) == kind(value)
    assert all(action.help for action in flags)


CROSS_LINGUAL = {"steps": 40, "learning_rate": 2e-4, "center_prompts": True}


@pytest.mark.parametrize("name, batch_size, changes", [
    ("cross_lingual", 8, CROSS_LINGUAL),
    ("clean_to_noisy", 4, {"center_prompts": True}), ("few_shot", 8, {"center_prompts": True}),
    ("simple_to_complex", 4, {"learning_rate": 2e-4, "lambda_da": 0.03}),
    ("odd_one_out", 4, {"steps": 160}),
    ("scaling", 4, {"steps": 160}), ("embeddings", 8, CROSS_LINGUAL)])
def test_presets(name, batch_size, changes, monkeypatch):
    laptop = {"steps": 120, "learning_rate": 5e-4, "warmup_steps": 10, "decay": 0.4,
              "lambda_da": 1.0, "critic_learning_rate": 1e-3, "critic_steps": 10,
              "critic_beta1": 0.5, "lora_layers": 6, "lora_modules": ALL_LINEAR,
              "scale_embeddings": True}
    p = parser_of(name, monkeypatch)
    assert p.get_default("preset") == laptop | changes
    assert p.get_default("batch_size") == batch_size and p.get_default("model") == "gemma-3-270m"
    assert "DIAL" in p.get_default("methods")
    assert name == "embeddings" or p.get_default("seeds") == [0, 1, 2]


def test_settings_are_the_preset_then_the_flags():
    config = configured()
    assert (config.steps, config.lambda_da, config.lora_rank) == (7, 0.5, 64)
    assert configured("--steps", "9", "--set", "steps=6").steps == 9
    config = configured("--steps", "9", "--set", "lambda_da=2", "lora_modules=q_proj,o_proj",
                        "--set", "center_prompts=true", "scale_embeddings=False", "lora_layers=3")
    assert (config.steps, config.lambda_da, config.lora_layers) == (9, 2.0, 3)
    assert config.lora_modules == "q_proj,o_proj"
    assert config.center_prompts is True and config.scale_embeddings is False
    assert isinstance(config.lambda_da, float) and isinstance(config.lora_layers, int)


@pytest.mark.parametrize("words, message", [
    ("lambda=1", "NAME=VALUE with a NAME of steps, learning_rate"),
    ("lambda_da", "NAME=VALUE"), ("lambda_da=", "NAME=VALUE"),
    ("lora_rank=1.5", "lora_rank is of type int"), ("lambda_da=much", "lambda_da is of type float"),
    ("center_prompts=1", "center_prompts is of type bool"),
    ("steps=0", "steps must be from 1 .*not 0"), ("learning_rate=nan", "learning_rate must"),
    ("learning_rate=1e300", "learning_rate must be from 0 to 1e.30, not 1e.300"),
    ("critic_learning_rate=1e38", "critic_learning_rate must be from 0 to 1e.30, not 1e.38"),
    ("lambda_gp=-1", "from 0 .*not -1"), ("clip=inf", "clip must be .*not inf"),
    ("critic_beta1=1", "critic_beta1 must be .*not 1"), ("decay=1.5", "decay must be from 0 to 1")])
def test_settings_that_cannot_be(words, message):
    with pytest.raises(InputError, match=f"^--set.*{message}"):
        configured("--set", words)


@pytest.mark.parametrize("main, flags, message", [
    (cross_lingual.main, ["--methods", "Magic"], "--methods: invalid choice: .Magic. .*Src-Tgt-"),
    (cross_lingual.main, ["--dtype", "int4"], "int4.*float32"),
    (cross_lingual.main, ["--steps", "many"], "--steps: must be a whole number above 0, not many"),
    (cross_lingual.main, ["--steps", "0"], "--steps"),
    (cross_lingual.main, ["--n-train", "1000000000"], "--n-train: must be a whole number from 1 t"),
    (cross_lingual.main, ["--seeds", "-1"], "whole number from 0 to .*, not -1"),
    (cross_lingual.main, ["--seeds", str(2**32)], "whole number from 0 to .*, not 4294967296"),
    (cross_lingual.main, ["--seeds", "0", "0"], "--seeds takes each once"),
    (cross_lingual.main, ["--target", "fruits", "fruits"], "twice the same pair of domai"),
    (cross_lingual.main, ["--no-such-flag"], "--no-such-flag.*--help"),
    (cross_lingual.main, ["--step", "3"], "--step"),
    (cross_lingual.main, ["--source", "meat"], "meat.*desserts"),
    (cross_lingual.main, ["--source", "fruits:fr"], "fruits:fr.*en, ko, th, zh"),
    (cross_lingual.main, ["--pairs", "legaladvice-kor_Hang"], "--pairs goes with --paper"),
    (cross_lingual.main, ["--paper", "--dry-run", "--pairs", "legal"],
     "--pairs legal: there are legaladvice-kor_Hang, .*explainlikeimfive-zho_Hans"),
    (cross_lingual.main, ["--paper", "--pairs", "x", "x"], "--pairs takes each once"),
    (cross_lingual.main, ["--paper", "--steps", "5"], "by epochs"),
    (cross_lingual.main, ["--paper", "--set", "clip=1", "steps=5"], "by epochs"),
    (cross_lingual.main, ["--paper", ""], "--paper: the value is empty"),
    (cross_lingual.main, ["--eval-data", ""], "--eval-data: the value is empty"),
    (few_shot.main, ["--data", ""], "--data: the value is empty"),
    (few_shot.main, ["--out", ""], "--out: the value is empty"),
    (few_shot.main, ["--out="], "--out=: the value is empty"),
    (few_shot.main, ["--out", "bad\udcff"], r"'bad\\udcff': control characters, and bytes that"),
    (few_shot.main, ["--out", "\x1b[31mred"], r"'\\x1b\[31mred': control characters, and bytes th"),
    (cross_lingual.main, ["--paper", "nowhere"], "--paper nowhere: no such folder"),
    (cross_lingual.main, ["--paper", "--source-data", "a"], "--source-data does not go with --pap"),
    (cross_lingual.main, ["--source-data", "a", "--target", "fruits"], "--target does not go with"),
    (clean_to_noisy.main, ["--eval-data", "a", "--n-test=2"], "--n-test does not go with --eval-d"),
    (few_shot.main, ["--paper", ".", "--part", "validation"],
     "--part does not go with --paper"),
    (odd_one_out.main, ["--target", "all", "--source", "snacks"], "--target all is all pairs"),
    (odd_one_out.main, ["--paper", ".", "--read", "sauces"], "--read does not go with --paper"),
    (odd_one_out.main, ["--target", "fruits:th", "--read", "fruits"], "--read fruits is the target"),
    (odd_one_out.main, ["--paper", ".", "--label", "easy"], "--label does not go with --paper"),
    (few_shot.main, ["--data", "a", "--paper"], "--data does not go with --paper"),
    (odd_one_out.main, ["--paper", "--n-train", "9"], "--n-train does not go with --paper"),
    (scaling.main, ["--methods", "DIAL"], "unrecognized arguments: --methods"),
    (scaling.main, ["--save"], "unrecognized arguments: --save"),
    (scaling.main, ["--shard"], "unrecognized arguments: --shard"),
    (scaling.main, ["--paper"], "unrecognized arguments: --paper"),
    (embeddings.main, ["--overwrite"], "unrecognized arguments: --overwrite"),
    (embeddings.main, ["--shard"], "unrecognized arguments: --shard"),
    (cross_lingual.main, ["--resume"], "unrecognized arguments: --resume"),
    (scaling.main, ["--budget", "2000"], "--budget 2000: must be from 10 to the 1000 re"),
    (simple_to_complex.main, ["--source-data", "a"], "--target-data is missing"),
    (simple_to_complex.main, ["--target-data", "a"], "--source-data is missing")])
def test_flags_that_cannot_be(main, flags, message, tmp_path):
    with pytest.raises(InputError, match=message) as error:
        main(["--model", "tiny", "--out", str(tmp_path / "out"), *flags])
    assert "\n" not in str(error.value) and not (tmp_path / "out").exists()


def test_all_methods():
    p = run_parser("", "few_shot", {"steps": 4}, RUNS | SAVE)
    args = parse(p, ["--methods", "all"])
    assert args.methods == list(METHODS)[:11] and "MMD" not in args.methods
    assert args.config.steps == 4
    assert args.compile is args.overwrite is args.given is False and args.save is None
    assert str(args.out) == "runs/few_shot"
    assert parse(p, ["--methods", "DIAL", "all"]).methods == args.methods
    assert parse(p, ["--methods", "all", "MMD"]).methods == [*args.methods, "MMD"]
    assert parse(p, ["--save"]).save == "adapter"
