"""prepare.py translate and formal with small random models: greedy, line by line, and resumable."""
import json
import shutil

import pytest
import torch
import transformers

import prepare
from data import InputError
from models import backbones, generation
from public import rewriting

ROWS = [{"prompt": f"First line {i}\n\nlast line", "chosen": f"yes {i}", "rejected": "no"}
        for i in range(3)]
FORMAL = ("Rewrite this post using highly formal language, using correct grammar, spelling, and "
          "punctuation. Expand abbreviations (e.g. aka \u2192 also known as). Only output the post "
          "and nothing else")
LINES = {"last line", "no", *(f"{word} {i}" for word in ("First line", "yes") for i in range(3))}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Folders with a random M2M-100, NLLB's architecture, on characters and with NLLB's tokenizer,
    which has a BOS and does not write it, and with a random Gemma on bytes."""
    folder = tmp_path_factory.mktemp("models")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DIAL_CACHE", str(folder))
        classifier, tokenizer, *_ = backbones.load("tiny", "cpu", "float32")
    tokenizer.chat_template = (
        "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}{% endfor %}<answer>")
    signs = ["<s>", "<pad>", "</s>", "<unk>", "\u2581", *map(chr, range(33, 127))]
    nllb = transformers.NllbTokenizer({sign: i for i, sign in enumerate(signs)}, [])
    torch.manual_seed(0)
    seq2seq = transformers.M2M100ForConditionalGeneration(transformers.M2M100Config(
        vocab_size=len(nllb), d_model=16, encoder_layers=1, decoder_layers=1,
        encoder_ffn_dim=16, decoder_ffn_dim=16, encoder_attention_heads=2,
        decoder_attention_heads=2, pad_token_id=1, eos_token_id=2, bos_token_id=0,
        decoder_start_token_id=2, max_position_embeddings=300))
    causal = transformers.AutoModelForCausalLM.from_config(classifier.config)
    for name, model, tokens, used, seed in (("translate", seq2seq, nllb, (5, len(signs)), 2),
                                      ("formal", causal, tokenizer, (3, 259), 2)):
        torch.manual_seed(seed)
        for p in model.parameters():
            if p.ndim == 2:  # the usual weights give the same few tokens for everything
                torch.nn.init.normal_(p, std=0.5 if name == "formal" else 4.0)
        embeddings = model.get_input_embeddings().weight.data
        embeddings[:used[0]] = embeddings[used[1]:] = 0  # no text ends, or is empty
        model.save_pretrained(folder / name), tokens.save_pretrained(folder / name)
    return folder


@pytest.fixture
def change(models, tmp_path, monkeypatch):
    """A function that runs the command on ROWS, in fp32; it returns what it wrote."""
    monkeypatch.setattr(generation, "pick_machine", lambda device, dtype: (device, "float32"))
    # A random model may write nothing but control characters.
    monkeypatch.setattr("reading.fields.is_blank", lambda text: not text.strip())

    def run(name, *flags, out="out.jsonl", rows=ROWS):
        (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        prepare.main([name, str(tmp_path / "a.jsonl"), "--model", str(models / name), "--out",
                      str(tmp_path / out), "--batch-size", "3", "--max-new-tokens", "5",
                      "--device", "cpu", *flags])
        return [json.loads(line) for line in (tmp_path / out).read_text().splitlines()]

    return run


def greedy(logits, ids, n, penalty=1.0, end=1):
    """The oracle, without `generate`: n times the likeliest token after `ids`, up to the end token;
    the penalty divides positive logits of tokens that are there and multiplies negative ones."""
    for _ in range(n):
        last = logits(torch.tensor([ids]))[0, -1]
        for token in set(ids):
            last[token] *= penalty if last[token] < 0 else 1 / penalty
        ids = [*ids, last.argmax().item()]
        if ids[-1] == end:
            break
    return ids


@torch.no_grad()
def test_a_translation_is_greedy_line_by_line(change, models):
    model = transformers.M2M100ForConditionalGeneration.from_pretrained(models / "translate")
    tokenizer = transformers.AutoTokenizer.from_pretrained(models / "translate")
    language = tokenizer.convert_tokens_to_ids("kor_Hang")
    new = {"": ""}
    for line in LINES:
        inputs = tokenizer([line], return_tensors="pt", return_token_type_ids=False)
        ids = greedy(lambda ids: model(**inputs, decoder_input_ids=ids).logits, [2, language], 4,
                     penalty=1.15, end=2)
        new[line] = tokenizer.decode(ids, skip_special_tokens=True).strip()
    assert len(set(new.values())) == 9  # or the lines would not matter
    rows = change("translate")
    assert rows == [{"prompt": "\n".join(map(new.get, row["prompt"].split("\n"))),
                     "chosen": new[row["chosen"]], "rejected": [new["no"]]} for row in ROWS]


@torch.no_grad()
def test_formal_asks_for_each_text_with_the_papers_prompt_and_no_penalty(change, models):
    model = transformers.AutoModelForCausalLM.from_pretrained(models / "formal")
    tokenizer = transformers.AutoTokenizer.from_pretrained(models / "formal")
    row, = change("formal", rows=ROWS[:1])
    penalised = 0  # where a penalty would be seen
    for name in ("prompt", "chosen"):
        ids = tokenizer(f"<user>{FORMAL}\n\n{ROWS[0][name]}<answer>", add_special_tokens=False)[
            "input_ids"]
        plain, other = (greedy(lambda ids: model(input_ids=ids).logits, ids, 5, penalty)
                        for penalty in (1.0, 1.15))
        assert row[name] == tokenizer.decode(plain[len(ids):], skip_special_tokens=True).strip()
        penalised += plain != other
    assert penalised


def test_formal_takes_a_chat_template(change, models, tmp_path, monkeypatch):
    plain = tmp_path / "plain"
    shutil.copytree(models / "formal", plain)
    (plain / "chat_template.jinja").unlink()
    with pytest.raises(InputError, match="plain: this takes an instruction-tuned model"):
        change("formal", "--model", str(plain))
    assert not (tmp_path / "out.done").exists()  # nothing was done


def test_it_goes_on_where_it_stopped(change, tmp_path, monkeypatch):
    sizes, generate = [], rewriting.generate
    monkeypatch.setattr(rewriting, "generate", lambda *given, **options: (
        sizes.append(len(given[2]["input_ids"])) or generate(*given, **options)))
    whole, kept = change("translate"), (tmp_path / "out.done").read_text().split("\n")
    assert sizes == [3, 3, 2]  # each different line once
    (tmp_path / "two.done").write_text("\n".join(kept[:6])[:-1])
    assert change("translate", out="two.jsonl") == whole
    assert sizes[3:] == [3, 1]  # four were finished, the fifth half written
    assert change("translate", out="two.jsonl") == whole and len(sizes) == 5
    change("translate", "--to", "eng_Latn", out="two.jsonl")
    assert sizes[5:] == [3, 3, 2]  # nothing in Korean is taken for English
    assert change("translate", out="two.jsonl") == whole and len(sizes) == 8


def test_a_full_disk_is_one_line(change, monkeypatch):
    def full(*_, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(rewriting, "generate", full)
    with pytest.raises(InputError, match="out.done: cannot be written: No space left on device"):
        change("translate")


def test_records_of_any_kind_and_flags_that_choose(change):
    rows = [{"prompt": "p", "responses": ["a", "b"]}, {"prompt": "p", "response": "c", "score": 2}]
    one, two = change("translate", rows=rows)
    assert len(one["responses"]) == 2 and two["score"] == 2 and two["prompt"] == one["prompt"]
    assert len(change("translate", "--limit", "1", out="two.jsonl")) == 1


def test_a_record_of_whose_text_nothing_is_left_is_left_out(change, monkeypatch, capsys):
    monkeypatch.setitem(rewriting.REWRITERS, "translate", lambda args, device: (
        lambda lines: ["" if line == "yes 1" else "x" for line in lines]))
    assert len(change("translate")) == 2
    assert "out.jsonl: record 2: 'chosen' is empty: a record" in capsys.readouterr().err


@pytest.mark.parametrize("flags, expected", [
    (["--to", "klingon"], "no language klingon"), (["--batch-size", "0"], "--batch-size"),
    (["--model", "no/such/model"], "no/such/model: cannot be loaded")])
def test_bad_flags(change, flags, expected):
    with pytest.raises(InputError, match=expected):
        change("translate", *flags)
