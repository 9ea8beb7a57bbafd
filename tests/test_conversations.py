"""Conversations against what the chat templates themselves write."""
import json
from itertools import product

import pytest
from test_records import load_unlabeled, write

import data
from data import Preference, Unlabeled
from domains.records import load_preferences, load_test
from models.backbones import load_tokenizer

TEMPLATES = {  # by hand after those of the models
    "chatml": "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n"
              "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
    "llama": "{{ bos_token }}{% for m in messages %}<|start_header_id|>{{ m.role }}"
             "<|end_header_id|>\n\n{{ m.content | trim }}<|eot_id|>{% endfor %}"
             "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n"
             "{% endif %}",
    "mistral": "{{ bos_token }}{% for m in messages %}{% if m.role == 'assistant' %} "
               "{{ m.content }}</s>{% else %}[INST] {{ m.content }} [/INST]{% endif %}"
               "{% endfor %}",
    "r1": "{{ bos_token }}{% for m in messages %}{% if m.role == 'assistant' %}<|Assistant|>"
          "{{ m.content }}<|end|>{% else %}<|User|>{{ m.content }}{% endif %}{% endfor %}"
          "{% if add_generation_prompt %}<|Assistant|><think>\n{% endif %}",
    "bare": "{% for m in messages %}{{ m.role }}:{{ m.content }}{% endfor %}",
    "gemma": "{{ bos_token }}{% for m in messages %}<start_of_turn>"
             "{{ 'model' if m.role == 'assistant' else m.role }}\n{{ m.content | trim }}"
             "<end_of_turn>\n{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n"
             "{% endif %}",
}
PROMPTS = {"chatml": "<|im_start|>user\nQ<|im_end|>\n<|im_start|>assistant\n", "bare": "user:Q",
           "llama": "<bos><|start_header_id|>user<|end_header_id|>\n\nQ<|eot_id|>"
                    "<|start_header_id|>assistant<|end_header_id|>\n\n",
           "mistral": "<bos>[INST] Q [/INST]", "r1": "<bos><|User|>Q<|Assistant|>",
           "gemma": "<bos><start_of_turn>user\nQ<end_of_turn>\n<start_of_turn>model\n"}


def said(role, content):
    return {"role": role, "content": content}


SYSTEM, USER, MORE = said("system", "S"), said("user", "Q"), said("user", "And?")
GOOD, BAD, WORSE = (said("assistant", text) for text in ("Indeed, A", "Indirectly", "Indeed"))


@pytest.fixture(scope="module")
def tiny_tokenizer(cache):
    return load_tokenizer("tiny")


@pytest.fixture(params=TEMPLATES)
def tokenizer(tiny_tokenizer, request):
    tiny_tokenizer.name, tiny_tokenizer.chat_template = request.param, TEMPLATES[request.param]
    return tiny_tokenizer


@pytest.fixture
def chatml(tiny_tokenizer):
    tiny_tokenizer.chat_template = TEMPLATES["chatml"]
    return tiny_tokenizer


def loaded(tmp_path, tokenizer, *rows, load=load_preferences):
    return load(write(tmp_path / "a.jsonl", "\n".join(map(json.dumps, rows))), tokenizer)


def written(tokenizer, *messages):
    return tokenizer.apply_chat_template(list(messages), tokenize=False)


def texts(record):
    return [record.prompt + record.joint(text) + text for text in record.responses]


TWO = [[USER, GOOD], [USER, BAD]]
THREE = [*TWO, [USER, WORSE]]
LABELED = [  # a row, and the dialogues that it stands for
    ({"prompt": [USER], "chosen": [GOOD], "rejected": [BAD]}, TWO),
    ({"chosen": [USER, GOOD], "rejected": [USER, BAD]}, TWO),
    ({"prompt": None, "chosen": [USER, GOOD], "rejected": [USER, BAD]}, TWO),
    ({"prompt": "Q", "chosen": [GOOD], "rejected": [BAD]}, TWO),
    ({"prompt": " Q\n", "chosen": [USER, GOOD], "rejected": [USER, BAD]}, TWO),  # ultrafeedback
    ({"prompt": [USER], "chosen": [USER, GOOD], "rejected": [USER, BAD]}, TWO),
    ({"prompt": [USER], "chosen": [USER, GOOD], "rejected": [BAD]}, TWO),
    ({"prompt": [USER], "chosen": GOOD, "rejected": BAD}, TWO),
    ({"prompt": USER, "chosen": GOOD, "rejected": [BAD, WORSE]}, THREE),
    ({"prompt": [USER], "chosen": [GOOD], "rejected": [[BAD], [WORSE]]}, THREE),
    ({"prompt": [USER], "chosen": "Indeed, A", "rejected": ["Indirectly", "Indeed"]}, THREE),
    ({"chosen": [USER, GOOD], "rejected": [[USER, BAD], [USER, WORSE]]}, THREE),
    ({"prompt": [USER, BAD, MORE], "chosen": [MORE, GOOD], "rejected": [BAD]},
     [[USER, BAD, MORE, GOOD], [USER, BAD, MORE, BAD]]),
    ({"chosen": [USER, BAD, MORE, GOOD], "rejected": [USER, BAD]},
     [[USER, BAD, MORE, GOOD], [USER, BAD]]),
    ({"chosen": [USER, GOOD], "rejected": [USER, GOOD, MORE, BAD]},
     [[USER, GOOD], [USER, GOOD, MORE, BAD]]),
    ({"prompt": [said("user", [{"type": "text", "text": "Q"}])], "chosen": [GOOD | {"name": None}],
      "rejected": [BAD]}, TWO),
]


@pytest.mark.parametrize("row, dialogues", LABELED, ids=map(str, range(len(LABELED))))
def test_the_text_is_the_templates_whole(tmp_path, tokenizer, row, dialogues):
    (record,) = loaded(tmp_path, tokenizer, row)
    expected = [written(tokenizer, *dialogue) for dialogue in dialogues]
    assert record.template and texts(record) == expected
    (unlabeled,) = loaded(tmp_path, tokenizer, row, load=load_unlabeled)
    assert unlabeled == Unlabeled(record.prompt, record.responses, True)
    assert data.encode([record], tokenizer, 999)[0].texts == tokenizer(
        expected, add_special_tokens=False)["input_ids"]
    if dialogues[0][:1] == [USER] and min(map(len, dialogues)) == max(map(len, dialogues)) == 2:
        assert record.prompt == PROMPTS[tokenizer.name]  # whatever the answers begin with


@pytest.mark.parametrize("row", [row for row, _ in LABELED[:3]], ids=str)
def test_a_system_message_is_part_of_the_prompt(tmp_path, chatml, row):
    before = {"prompt": [SYSTEM, USER]} if row.get("prompt") else {
        name: [SYSTEM, *row[name]] for name in ("chosen", "rejected")}
    answers = {"prompt": [SYSTEM], "chosen": [USER, GOOD], "rejected": [USER, BAD]}
    for record in loaded(tmp_path, chatml, row | before, answers):
        assert texts(record) == [written(chatml, SYSTEM, USER, m) for m in (GOOD, BAD)]
        assert "Q<|im_end|>" in record.prompt


UNLABELED = [
    ({"prompt": [USER], "responses": [[GOOD], [BAD]]}, [[USER, GOOD], [USER, BAD]]),
    ({"prompt": [USER], "responses": [GOOD, BAD]}, [[USER, GOOD], [USER, BAD]]),
    ({"prompt": "Q", "responses": [[USER, GOOD], [USER, BAD]]}, [[USER, GOOD], [USER, BAD]]),
    ({"prompt": [USER], "responses": ["Indeed, A"]}, [[USER, GOOD]]),
    ({"prompt": "Q", "response": [GOOD]}, [[USER, GOOD]]),
    ({"response": [USER, GOOD]}, [[USER, GOOD]]),
    ({"messages": [USER, GOOD]}, [[USER, GOOD]]),
    ({"prompt": "Q", "prompt_id": "7", "messages": [USER, BAD, MORE, GOOD, MORE]},
     [[USER, BAD, MORE, GOOD]]),
    ({"prompt": [USER], "response": GOOD, "score": 2}, [[USER, GOOD]]),
]


@pytest.mark.parametrize("row, dialogues", UNLABELED, ids=map(str, range(len(UNLABELED))))
def test_unlabelled_conversations(tmp_path, tokenizer, row, dialogues):
    (record,) = loaded(tmp_path, tokenizer, row, load=load_unlabeled)
    assert texts(record) == sorted(written(tokenizer, *dialogue) for dialogue in dialogues)
    assert record.template
    if "score" in row:
        assert loaded(tmp_path, tokenizer, row, row | {"score": 1}, load=load_test) == (
            [record] * 2, [2, 1])


def test_what_is_known_of_tools(tmp_path, chatml, capsys):
    call = {"role": "assistant", "content": None, "tool_calls": [{"name": "look"}]}
    row = {"prompt": [USER, call, said("tool", "seen")], "chosen": [GOOD], "rejected": [BAD]}
    (record,) = loaded(tmp_path, chatml, row)
    assert record.prompt.endswith("<|im_start|>assistant\n<|im_end|>\n<|im_start|>tool\nseen"
                                  "<|im_end|>\n<|im_start|>assistant\n")
    loaded(tmp_path, chatml, row | {"tools": "[]"})
    assert "its tools" not in capsys.readouterr().err
    loaded(tmp_path, chatml, row | {"tools": [{"name": "look"}]})
    assert "a.jsonl:1: its tools are not read" in capsys.readouterr().err


def test_answers_that_begin_alike_share_the_prompt_alone(tmp_path, tokenizer):
    """So that a question is in one part of a split, whatever was answered."""
    rows = [{"prompt": [USER], "chosen": [a], "rejected": [b]}
            for a, b in product((GOOD, BAD, WORSE), repeat=2) if a != b]
    assert len({record.prompt for record in loaded(tmp_path, tokenizer, *rows)}) == 1


def test_a_tie_is_a_tie(tmp_path, chatml):
    row = {"chosen": [USER, GOOD], "rejected": [USER, GOOD]}
    record = loaded(tmp_path, chatml, LABELED[0][0], row)[1]
    assert record == Preference(record.prompt, record.chosen, (record.chosen,), True)
