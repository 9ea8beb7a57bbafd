"""rlhf_shift.py --paper to the end, on a small model with a chat template and small files."""
import torch
import transformers
from conftest import random_classifier
from test_requests import xstest  # noqa: F401  (a fixture)

import rlhf_shift
from models import backbones


def chat_model(folder):
    """A small random Gemma in a folder, with a tokenizer that has a chat template."""
    tokenizer = backbones.load_tokenizer("tiny")
    tokenizer.chat_template = ("{{ bos_token }}{{ strftime_now('%Y') }}"
                               "{% for m in messages %}<{{ m['role'] }}>"
                               "{{ m['content'] }}\n{% endfor %}{% if add_generation_prompt %}"
                               "<model>{% endif %}")  # no white space before the response
    config = random_classifier("gemma", vocab_size=len(tokenizer)).config
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def test_paper_to_the_end_on_small_files(tmp_path, cache, xstest,  # noqa: F811
                                         capsys, monkeypatch, undrawn):
    flags = ["--paper", "--xstest", str(xstest), "--seeds", "0", "--n-train", "14"]
    rlhf_shift.main([*flags, "--dry-run"])
    printed = [line.split() for line in capsys.readouterr().out.splitlines()]
    for setting in ("model google/gemma-1.1-2b-it", "epochs 20", "ppo_passes 4", "batch_size 8",
                    "max_new_tokens 128", "learning_rate 5e-05", "lambda_da 0.01"):
        assert setting.split() in printed
    model = chat_model(tmp_path / "model")
    starts = []
    original = rlhf_shift.run_arm
    monkeypatch.setattr(rlhf_shift, "run_arm", lambda start, *rest: (
        starts.append(start), original(start, *rest))[1])
    rlhf_shift.main([*flags, "--model", model, "--epochs", "2", "--max-new-tokens", "2",
                     "--arms", "DIAL", "--out", str(tmp_path / "out")])
    assert (tmp_path / "out" / "results.json").exists()
    prompt, tokens = next(iter(starts[0].prompts.items()))
    assert starts[0].tokenizer.decode(tokens) == f"<bos>2024<user>{prompt}\n<model>"  # on every day
    assert starts[0].tokens is None  # all tokens can be chosen
    assert {s.args.config.learning_rate for s in starts} == {5e-5}
    assert starts[0].model.scale == 1  # as published
    plain = transformers.AutoModelForCausalLM.from_pretrained(model, dtype=starts[0].lm.dtype)
    assert all(torch.equal(p, starts[0].lm.get_parameter(name))  # not supervised
               for name, p in plain.named_parameters())
