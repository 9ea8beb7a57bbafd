"""RLHF under distribution shift: the prompts, what each arm trains on and with what, and the
command to the end on the small model."""
import csv
import json
from argparse import Namespace
from collections import Counter

import pytest
import torch
import transformers
from conftest import random_classifier

import dial
import rlhf_shift
from data import InputError
from domains import requests as domain
from support import backbones, rewriting, rlhf
from support.correlation import auc
from support.judge import Judge
from support.policy import Policy, join
from support.ppo import PPOConfig, supervised_loss

TINY = ["--model", "tiny", "--epochs", "2"]
XSTEST = [(f"{'How do I kill' if safe else 'Why not kill'} number {i}?",
           "homonyms" if safe else "contrast_homonyms", text, label)
          for i in range(10) for safe in (True, False)
          for text, label in ((f"Take {i} of them.", "1_full_compliance"),
                              ("Ask a friend.", "1_full_compliance"),
                              ("I'm sorry, I can't.", "2_full_refusal"),
                              ("Hm.", "3_partial_refusal"))]


@pytest.fixture
def xstest(tmp_path):
    folder = tmp_path / "xstest"
    folder.mkdir()
    with open(folder / "xstest_v2_completions_a.csv", "w", newline="") as f:
        rows = csv.writer(f)
        rows.writerow(["prompt", "type", "completion", "final_label"])
        rows.writerows(XSTEST)
    return folder


# ------------------------------------------------------------------ prompts


@pytest.mark.parametrize("seed", [0, 1])
def test_requests_are_balanced_and_apart(seed):
    task = domain.requests(seed, 4)
    assert (len(task.train), len(task.test)) == (96, 64)
    assert len({*task.train, *task.test}) == 160
    for prompts in (task.train, task.test):  # in each verb, too
        verbs = Counter((prompt.split()[3], prompt in task.refuse) for prompt in prompts)
        assert len(set(verbs.values())) == 1 and len(verbs) == 32
    assert Counter(pair.prompt for pair in task.pairs) == dict.fromkeys(task.train, 4)
    assert {prompt for prompt, _ in task.spoken} == {*task.train}


def test_what_is_chosen_is_right_and_the_policy_speaks_of_both():
    task = domain.requests(0)
    for pair in task.pairs:
        assert task.kind(pair.chosen) == task.should(pair.prompt)
        assert task.kind(pair.rejected[0]) == {"answer": "refuse", "refuse": "answer"}[
            task.should(pair.prompt)]
    kinds = Counter((prompt, task.kind(text)) for prompt, text in task.spoken)
    assert kinds == {(prompt, kind): 2 for prompt in task.train for kind in ("answer", "refuse")}
    assert domain.requests(1).train != task.train


@pytest.mark.parametrize("text, kind", [
    ("Sure, here is how to do it.", "answer"), ("No, that would be wrong!", "refuse"),
    ("Sure, here is how to do it, I can't help with that", None), ("Sure.", None), ("", None)])
def test_a_response_of_both_kinds_or_of_neither_is_wrong(text, kind):
    assert domain.requests(0).kind(text) == kind


def test_xstest(xstest):
    task = domain.xstest_requests(xstest, 0)
    assert len(task.train) == 12 and len(task.test) == 8
    assert len(set(task.pairs)) == 24  # of each prompt two answers with one refusal
    assert task.refuse == {prompt for prompt, kind, *_ in XSTEST if kind.startswith("contrast")}
    for pair in task.pairs:
        assert (pair.chosen == "I'm sorry, I can't.") == (pair.prompt in task.refuse)
    assert task.kind("I’m sorry, but no.") == "refuse" and task.kind("Take two.") == "answer"
    task = domain.xstest_requests(xstest, 0, 14, n_words=2)
    assert (len(task.train), len(task.test)) == (14, 6)
    assert {text for _, text in task.spoken} >= {"I'm sorry,"} and len(task.spoken) == 56
    assert {len(text.split()) for pair in task.pairs for text in pair.responses} == {2}
    with pytest.raises(InputError, match="holds no file"):
        domain.xstest_requests(xstest.parent, 0)


def test_auc_against_counting():
    torch.manual_seed(0)
    rewards, right = torch.randint(0, 5, (40,)).float(), torch.randint(0, 2, (40,)).float()
    kinds = torch.arange(40) % 3 == 0
    rewards += 9 * kinds  # which tells nothing of the responses
    rows = list(zip(rewards.tolist(), right, kinds))
    pairs = [(a, b) for a, x, k in rows for b, y, m in rows if x == 1 and y == 0 and k == m]
    wins = sum((a > b) + (a == b) / 2 for a, b in pairs) / len(pairs)
    assert auc(rewards, right, kinds) == pytest.approx(wins)
    assert auc(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 1.0]), torch.zeros(2)) is None
    assert auc(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 0.0]), torch.arange(2)) is None


# ------------------------------------------------------------------ arms


def small(seed, n_pairs=1):
    """The domain with 12 prompts to train on and 4 held out."""
    task = domain.requests(seed, n_pairs)
    task.train, task.test = task.train[::8], task.test[::16]
    task.pairs = [pair for pair in task.pairs if pair.prompt in task.train]
    task.spoken = [pair for pair in task.spoken if pair[0] in task.train]
    return task


@pytest.fixture
def start(cache, config):
    """A `Start` on the small model, two epochs."""
    config = dial.DialConfig(lora_rank=4, lora_alpha=4, learning_rate=1e-3)
    args = Namespace(model="tiny", device="cpu", dtype="float32", config=config, ppo=PPOConfig(
        passes=1, batch_size=6, learning_rate=0.01), max_length=200, batch_size=6, epochs=6,
        max_new_tokens=4, all_tokens=False, supervised=True, judge=None)
    return rlhf.Start(args, small(0), 3)


@pytest.fixture
def calls(monkeypatch, start):
    """What `dial.train` and `ppo_epoch` are called with from here on."""
    seen = {"train": [], "ppo": []}
    train, ppo_epoch = dial.train, rlhf.ppo_epoch

    def watch_train(model, critic, batches, config, step, **options):
        batches = list(batches)
        seen["train"].append((batches, config, step, options["optimizers"], critic))
        return train(model, critic, batches, config, step, **options)

    def watch_ppo(policy, optimizer, responses, reward, config):
        seen["ppo"].append((optimizer.param_groups[0]["lr"], responses, reward))
        return ppo_epoch(policy, optimizer, responses, reward, config)

    monkeypatch.setattr(rlhf.dial, "train", watch_train)
    monkeypatch.setattr(rlhf, "ppo_epoch", watch_ppo)
    return seen


def judge(task, prompts, texts):
    return torch.tensor([float(len(text) > 5) for text in texts])


def reward_state(start):
    return torch.cat([p.detach().flatten() for p in start.model.parameters() if p.requires_grad])


def test_src_pref_leaves_the_reward_model_as_it_is(start, calls):
    before = reward_state(start).clone()
    records = rlhf.run_arm(start, "Src-Pref", judge)
    assert not calls["train"] and torch.equal(reward_state(start), before)
    assert [lr for lr, *_ in calls["ppo"]] == [0.01] * 6
    assert [r["step"] for r in records] == [1, 2, 3, 4, 5, 6]
    assert records[0]["kl"] < 1e-6 < records[-1]["kl"]


def test_what_is_recorded(start, calls, monkeypatch):
    asked, judged = [], []
    respond = Policy.respond
    monkeypatch.setattr(Policy, "respond", lambda self, prompts, n, greedy=False: (
        asked.append((prompts, greedy)), respond(self, prompts, n, greedy))[1])

    def watched(task, prompts, texts):
        judged.append((prompts, torch.randint(0, 2, (len(texts),)).float()))
        return judged[-1][1]

    records = rlhf.run_arm(start, "Src-Pref", watched)
    train, test = start.task.train, start.task.test
    kinds = torch.tensor([prompt in start.task.refuse for prompt in train])
    assert [prompts for prompts, _ in judged] == [train, test] * 6
    assert asked == [([start.prompts[p] for p in prompts], greedy)
                     for prompts, greedy in ((train, False), (test, True))] * 6
    for record, (_, right), (_, held_out), (_, responses, reward) in zip(
            records, judged[::2], judged[1::2], calls["ppo"], strict=True):
        assert record["true_reward"] == right.mean() and record["held_out"] == held_out.mean()
        assert record["auc"] == auc(reward, right, kinds)
        assert record["reward"] == pytest.approx(reward.mean().item())
        assert record["tokens"] == pytest.approx(responses.real.sum().item() / len(train))


def test_src_pref_halved(start, calls):
    rlhf.run_arm(start, "Src-Pref, halved", judge)
    assert not calls["train"] and [lr for lr, *_ in calls["ppo"]] == [0.01] * 5 + [0.005]


def test_dial_adapts_to_each_epochs_own_responses(start, calls):
    before = reward_state(start).clone()
    rlhf.run_arm(start, "DIAL", judge)
    assert [lr for lr, *_ in calls["ppo"]] == [0.01] * 5 + [0.005]
    assert [c.learning_rate for _, c, *_ in calls["train"]] == [1e-3] * 5 + [5e-4]
    assert all(c.lambda_da == start.args.config.lambda_da and c.steps == 2
               for _, c, *_ in calls["train"])
    assert {step for _, _, step, *_ in calls["train"]} == {dial.dial_step}
    optimizers = {id(o) for *_, pair, _ in calls["train"] for o in pair}
    assert len(optimizers) == 2 and len({id(critic) for *_, critic in calls["train"]}) == 1
    critic_steps = calls["train"][-1][3][1].state_dict()["state"][0]["step"]
    assert critic_steps == 6 * 2 * start.args.config.critic_steps  # it goes on from epoch to epoch
    assert not torch.equal(reward_state(start), before)
    for (batches, *_), (_, responses, _) in zip(calls["train"], calls["ppo"]):
        texts = start.tokenizer.batch_decode([ids[real.bool()] for ids, real in zip(
            responses.actions, responses.real)], skip_special_tokens=True)
        expected = Counter(len(start.tokenizer(p + "\n" + t.strip())["input_ids"])
                           for p, t in zip(start.task.train, texts))
        seen = Counter()
        for batch in batches:  # 6 pairs, then 6 responses, one a prompt
            assert batch["counts"] == [2] * 6 + [1] * 6 and batch["n_source"] == 12
            seen.update((batch["position_ids"][0][batch["last_column"][12:]] + 1).tolist())
        assert seen == expected


def test_continued_training_sees_no_target(start, calls):
    rlhf.run_arm(start, "Src-Pref, continued", judge)
    assert {step for _, _, step, *_ in calls["train"]} == {dial.preference_step}
    assert all(batch["counts"] == [2] * 6 for batches, *_ in calls["train"] for batch in batches)


def test_arms_of_a_seed_begin_alike_and_repeat(start):
    logs = [rlhf.run_arm(start, name, judge) for name in ("DIAL", "Src-Pref", "DIAL")]
    assert logs[0] == logs[2]
    for key in ("true_reward", "auc", "held_out", "examples"):
        assert logs[0][0][key] == logs[1][0][key]
    assert logs[0][-1]["reward"] != logs[1][-1]["reward"]


def test_supervision_teaches_the_policy_to_speak(cache, monkeypatch):
    args = Namespace(model="tiny", device="cpu", dtype="float32", config=dial.DialConfig(
        lora_rank=8, lora_alpha=8, lora_modules="q_proj,k_proj,v_proj,o_proj,up_proj,down_proj"),
        max_length=200, batch_size=48, max_new_tokens=8, all_tokens=False, supervised=True)
    task, losses = small(0), []
    task.spoken = [(prompt, "No. No!") for prompt in task.train]
    for steps in (60, 0):
        monkeypatch.setitem(rlhf.SUPERVISED, "steps", steps)
        start = rlhf.Start(args, task, 0)
        ids = [[*start.response_tokens("No. No!"), start.ends[0]]] * len(task.test)
        responses = join([start.prompts[p] for p in task.test], ids)
        losses.append(supervised_loss(start.policy(), responses).item())
    assert losses[0] < losses[1] - 0.3, losses


# ------------------------------------------------------------------ the command


@pytest.fixture(autouse=True)
def few_prompts(monkeypatch):
    monkeypatch.setattr(rlhf_shift, "requests", small)
    monkeypatch.setitem(rlhf.SUPERVISED, "steps", 20)


def run(tmp_path, *flags):
    rlhf_shift.main([*TINY, "--out", str(tmp_path / "out"), *flags])
    return json.loads((tmp_path / "out" / "results.json").read_text())


def stopped(*_):
    raise KeyboardInterrupt


def test_to_the_end_and_resume_by_arm_and_seed(tmp_path, cache, monkeypatch, capsys):
    record = run(tmp_path, "--seeds", "0", "--arms", "Src-Pref", "DIAL")
    assert "DIAL less Src-Pref" in capsys.readouterr().out
    assert {row["method"] for row in record["rows"]} == {"Src-Pref", "DIAL"}
    assert (tmp_path / "out" / "rlhf_shift.png").exists()
    trained = []
    original = rlhf.run_arm
    monkeypatch.setattr(rlhf, "run_arm", lambda start, name, judge: (
        trained.append((name, start.seed)), original(start, name, judge))[1])
    record = run(tmp_path, "--seeds", "0", "1", "--arms", "Src-Pref", "DIAL", "--resume")
    assert trained == [("Src-Pref", 1), ("DIAL", 1)]
    areas = [row for row in record["rows"] if row["metric"] == "area"]
    assert [len(row["values"]) for row in areas] == [2, 2]
    with pytest.raises(InputError, match="--resume: .* has epochs 2, not 3"):
        run(tmp_path, "--seeds", "0", "--epochs", "3", "--resume")
    monkeypatch.setattr(rlhf, "run_arm", stopped)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, "--seeds", "0")
    assert "finished arms are kept" in capsys.readouterr().err
    (aside,) = (tmp_path / "out").glob("runs-*")
    assert len(list(aside.glob("*.json"))) == 4


def test_results_by_hand():
    log = [{"true_reward": t, "held_out": h, "kl": 2.0, "auc": a} for t, h, a in
           ((0.2, 0.1, 0.9), (0.4, 0.2, 0.7), (0.6, 0.3, None), (0.6, 0.4, 0.5), (0.7, 0.5, 0.5),
            (0.5, 0.6, 0.1))]
    metrics = rlhf_shift.results("DIAL", domain.requests(0), log)["metrics"]
    assert metrics == pytest.approx({"area": 0.5, "true_reward": 0.5, "held_out": 0.6, "kl": 2.0,
                                     "auc_first": 0.65, "auc_last": 0.45})


@pytest.mark.parametrize("flags, message", [
    (["--set", "center_prompts=true"], "a single response"), (["--paper"], "needs --xstest"),
    (["--ppo", "clips=1"], "NAME of"), (["--seeds", "0", "0"], "once"),
    (["--n-train", "9"], "goes with --xstest"), (["--ppo", "passes=0"], "passes must be 1 or more"),
    (["--set", "steps=4"], "an epoch says"), (["--set", "lora_modules=q"], "no linear layer 'q'"),
    (["--xstest", "x", "--n-pairs", "2"], "does not go with"),
    (["--arms", "DEAL"], "invalid choice"), (["--xstest", "nowhere"], "holds no file")])
def test_what_cannot_be_used(tmp_path, flags, message):
    with pytest.raises(InputError, match=message):
        run(tmp_path, *flags)


def chat_model(folder):
    """A small random Gemma in a folder, with a tokenizer that has a chat template."""
    _, tokenizer = backbones.load("tiny", "cpu", "float32")
    tokenizer.chat_template = ("{{ bos_token }}{% for m in messages %}<{{ m['role'] }}>"
                               "{{ m['content'] }}\n{% endfor %}{% if add_generation_prompt %}"
                               "<model>{% endif %}")
    config = random_classifier("gemma", vocab_size=len(tokenizer)).config
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def test_paper_to_the_end_on_small_files(tmp_path, cache, xstest, capsys, monkeypatch):
    flags = ["--paper", "--xstest", str(xstest), "--seeds", "0", "--n-train", "14"]
    rlhf_shift.main([*flags, "--dry-run"])
    printed = capsys.readouterr().out
    for part in ("google/gemma-1.1-2b-it", "20 epochs of PPO", "batches of 8, learning rate 5e-05",
                 "lambda_da 0.01", "halved every 5 epochs"):
        assert part in printed
    model = chat_model(tmp_path / "model")
    starts = []
    original = rlhf.run_arm
    monkeypatch.setattr(rlhf, "run_arm", lambda start, *rest: (
        starts.append(start), original(start, *rest))[1])
    rlhf_shift.main([*flags, "--model", model, "--epochs", "1", "--max-new-tokens", "3",
                     "--judge", model, "--out", str(tmp_path / "out")])
    assert (tmp_path / "out" / "results.json").exists()
    prompt, tokens = next(iter(starts[0].prompts.items()))
    assert starts[0].tokenizer.decode(tokens) == f"<bos><user>{prompt}\n<model>\n"
    assert starts[0].tokens is None  # all tokens can be chosen
    assert {s.args.config.learning_rate for s in starts} == {5e-5}
    assert starts[0].model.scale == 1  # as published
    plain = transformers.AutoModelForCausalLM.from_pretrained(model, dtype=starts[0].lm.dtype)
    assert all(torch.equal(p, starts[0].lm.get_parameter(name))  # not supervised
               for name, p in plain.named_parameters())


def test_the_judge_is_asked_about_each(monkeypatch):
    class Tokenizer:
        chat_template = "any"

        @staticmethod
        def apply_chat_template(chats, **_):
            return [chat[0]["content"] for chat in chats]

    said = {"Yes": "COMPLIES.", "No": "Refuses", "Hm": "I would say"}
    monkeypatch.setattr(rewriting, "load", lambda *_: (None, Tokenizer))
    monkeypatch.setattr(rewriting, "generate", lambda model, tokenizer, asked, n: [
        said[text.rpartition(": ")[2]] for text in asked])
    task = domain.requests(0)
    ask = Judge(Namespace(judge="any", device="cpu", dtype="auto"))
    prompts = task.train[:40]
    should = torch.tensor([float(task.should(prompt) == "answer") for prompt in prompts])
    assert torch.equal(ask(task, prompts, ["Yes"] * 40), should)
    assert torch.equal(ask(task, prompts, ["No"] * 40), 1 - should)
    assert ask(task, prompts, ["Hm"] * 40).sum() == 0
    Tokenizer.chat_template = None
    with pytest.raises(InputError, match="chat template"):
        Judge(Namespace(judge="any", device="cpu", dtype="auto"))


def test_what_ends_a_response():
    class Tokenizer:
        eos_token_id, chat_template = 1, "any"

        @staticmethod
        def get_vocab():
            return {"<end_of_turn>": 107}

    lm = Namespace(generation_config=Namespace(eos_token_id=[1, 106]))
    assert rlhf.end_tokens(lm, Tokenizer) == [107, 1, 106]
    Tokenizer.chat_template = None
    lm.generation_config.eos_token_id = None
    assert rlhf.end_tokens(lm, Tokenizer) == [1]
