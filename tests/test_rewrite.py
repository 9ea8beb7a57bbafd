"""Translating and rewriting with small random models: greedy, line by line, and resumable."""
import json

import pytest
import torch
import transformers

import backbones
import rewrite
from data import InputError

ROWS = [{"prompt": f"First line {i}\n\nlast line", "chosen": f"yes {i}", "rejected": "no"}
        for i in range(5)]


@pytest.fixture
def file(tmp_path):
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(r) + "\n" for r in ROWS))
    return tmp_path / "a.jsonl"


@pytest.fixture
def seq2seq(cache, tmp_path):
    """A small random M2M-100, NLLB's architecture, on bytes and with two languages."""
    tokenizer = backbones.load_tokenizer("tiny")
    tokenizer.add_special_tokens({"additional_special_tokens": ["eng_Latn", "kor_Hang"]})
    config = transformers.M2M100Config(
        vocab_size=len(tokenizer), d_model=16, encoder_layers=1, decoder_layers=1,
        encoder_ffn_dim=16, decoder_ffn_dim=16, encoder_attention_heads=2,
        decoder_attention_heads=2, pad_token_id=0, eos_token_id=1, bos_token_id=2,
        decoder_start_token_id=1, max_position_embeddings=300)
    torch.manual_seed(0)
    transformers.M2M100ForConditionalGeneration(config).save_pretrained(tmp_path / "m2m")
    tokenizer.save_pretrained(tmp_path / "m2m")
    return tmp_path / "m2m"


def translate(file, model, out, *flags):
    rewrite.main(["translate", str(file), "--model", str(model), "--out", str(out),
                  "--batch-size", "3", "--max-new-tokens", "8", "--device", "cpu", *flags])
    return [json.loads(line) for line in out.read_text().splitlines()]


def test_lines_are_translated_one_by_one(file, seq2seq, tmp_path):
    rows = translate(file, seq2seq, tmp_path / "out.jsonl")
    done = [json.loads(line) for line in (tmp_path / "out.done").read_text().splitlines()[1:]]
    new = {r["text"]: r["new"] for r in done}
    assert len(done) == len(new) == 5 + 1 + 5 + 1  # each different line once: first, last, yes, no
    for row, old in zip(rows, ROWS, strict=True):
        assert row["prompt"] == "\n".join(new.get(line, "") for line in old["prompt"].split("\n"))
        assert row["chosen"] == new[old["chosen"]] and row["rejected"] == [new["no"]]


def test_a_translation_is_greedy_and_begins_with_its_language(file, seq2seq, tmp_path):
    """Against generate on one line alone, which also shows that padding changes nothing."""
    translate(file, seq2seq, tmp_path / "out.jsonl")
    model = transformers.AutoModelForSeq2SeqLM.from_pretrained(
        seq2seq, dtype=backbones.pick_dtype("cpu"))
    tokenizer = transformers.AutoTokenizer.from_pretrained(seq2seq)
    record = json.loads((tmp_path / "out.done").read_text().splitlines()[-1])
    inputs = tokenizer([record["text"]], return_tensors="pt")
    inputs.pop("token_type_ids", None)
    language = tokenizer.convert_tokens_to_ids("kor_Hang")
    ids = model.generate(**inputs, max_new_tokens=8, do_sample=False, num_beams=1,
                         repetition_penalty=1.15, forced_bos_token_id=language)
    assert ids[0, 1] == language
    assert record["new"] == tokenizer.decode(ids[0], skip_special_tokens=True).strip()


def test_it_goes_on_where_it_stopped(file, seq2seq, tmp_path, monkeypatch):
    whole = translate(file, seq2seq, tmp_path / "whole.jsonl")
    lines = (tmp_path / "whole.done").read_text().splitlines()
    (tmp_path / "out.done").write_text("\n".join(lines[:8]) + '\n{"text": "ye')  # stopped in a line
    done, generate = [], rewrite.generate
    monkeypatch.setattr(rewrite, "generate", lambda *a, **k: done.append(1) or generate(*a, **k))
    assert translate(file, seq2seq, tmp_path / "out.jsonl") == whole
    assert len(done) == 2  # five lines, three at a time
    (seq2seq / "model.safetensors").unlink()  # nothing left to do, so no model is needed
    translate(file, seq2seq, tmp_path / "out.jsonl")
    assert len(done) == 2
    with pytest.raises(InputError, match="out.done was made with"):
        translate(file, seq2seq, tmp_path / "out.jsonl", "--to", "eng_Latn")


def test_formal_asks_with_the_papers_prompt(cache, file, tmp_path, monkeypatch):
    classifier, tokenizer = backbones.load("tiny", "cpu", "float32")
    tokenizer.chat_template = (
        "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}{% endfor %}<answer>")
    causal = transformers.AutoModelForCausalLM.from_config(classifier.config)
    causal.save_pretrained(tmp_path / "it"), tokenizer.save_pretrained(tmp_path / "it")
    asked, generate = [], rewrite.generate

    def spy(model, tokenizer, inputs, *rest):
        asked.extend(tokenizer.batch_decode(inputs["input_ids"], skip_special_tokens=True))
        return generate(model, tokenizer, inputs, *rest)

    monkeypatch.setattr(rewrite, "generate", spy)
    rewrite.main(["formal", str(file), "--model", str(tmp_path / "it"),
                  "--out", str(tmp_path / "out.jsonl"), "--max-new-tokens", "4", "--device", "cpu"])
    assert all(text.startswith("<user>Rewrite this post using highly formal language")
               for text in asked)
    whole = sum("First line" in text and "last line" in text for text in asked)
    assert whole == 5  # texts, not lines
    new = {json.loads(line)["new"] for line in (tmp_path / "out.done").read_text().splitlines()[1:]}
    assert all(len(text) <= 4 * 4 and "Rewrite" not in text for text in new)


@pytest.mark.parametrize("flags, words", [
    (["--to", "klingon"], ["no language klingon"]), (["--batch-size", "0"], ["--batch-size"]),
    (["--model", "no/such"], ["no/such", "cannot be loaded"])])
def test_bad_flags(file, seq2seq, tmp_path, flags, words):
    with pytest.raises(InputError) as error:
        rewrite.main(["translate", str(file), "--model", str(seq2seq),
                      "--out", str(tmp_path / "o.jsonl"), *flags])
    assert all(word in str(error.value) for word in words)
