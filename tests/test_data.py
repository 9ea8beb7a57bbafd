"""Files in every form, bad input, generated lists, tokens."""
import copy
import csv
import gzip
import json

import pytest
from conftest import ROWS

import data
from data import (InputError, Preference, Unlabeled, load_preferences, load_scored, load_test,
                  load_unlabeled)
from foods import CATEGORIES, food_domain, read_foods

PAIR = Preference("Q?", "good", ("bad",))


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("name, text, expected", [
    ("a.jsonl", '{"prompt": "Q?", "chosen": "good", "rejected": "bad"}\n\n', PAIR),
    ("a.json", '[{"prompt": "Q?", "chosen": "good", "rejected": "bad"}]', PAIR),
    ("a.json", '{"prompt": "Q?", "chosen": "good", "rejected": "bad"}\n', PAIR),  # SHP: JSON lines
    ("a.jsonl", '{"prompt": "Q?", "response_chosen": "good", "response_rejected": "bad"}', PAIR),
    ("a.jsonl", '{"prompt": "Q?", "chosen": "good", "rejected": ["bad", "worse"]}',
     Preference("Q?", "good", ("bad", "worse"))),
    ("a.jsonl", '{"prompt": "Q?", "correct": "a", "wrong_b": "c", "wrong_a": "b"}',
     Preference("Q?", "a", ("b", "c"))),
    ("a.csv", 'prompt,chosen,rejected,id\n"Q, or?","good\nindeed",bad,7\n',
     Preference("Q, or?", "good\nindeed", ("bad",))),
    ("a.tsv", "\ufeffprompt\tchosen\trejected\nQ?\tgood\tbad\n", PAIR),
    ("a.jsonl", '{"chosen": "\\n\\nHuman: Hi\\n\\nAssistant: Hello you", '
                '"rejected": "\\n\\nHuman: Hi\\n\\nAssistant: Help"}',
     Preference("\n\nHuman: Hi\n\nAssistant: ", "Hello you", ("Help",))),
])
def test_forms_of_preferences(tmp_path, name, text, expected):
    assert load_preferences(write(tmp_path / name, text)) == [expected]


def test_gzip_folders_and_order(tmp_path):
    with gzip.open(tmp_path / "b.jsonl.gz", "wt") as f:
        f.write(json.dumps({"prompt": "2", "chosen": "x", "rejected": "y"}))
    write(tmp_path / "a.jsonl", json.dumps({"prompt": "1", "chosen": "x", "rejected": "y"}))
    write(tmp_path / "README.md", "not data")
    assert [row.prompt for row in load_preferences(tmp_path)] == ["1", "2"]


def test_unlabeled_forms(tmp_path):
    lines = ['{"prompt": "Q?", "responses": ["b", "a"]}', '{"prompt": "Q?", "response": "a"}',
             '{"prompt": "Q?", "chosen": "b", "rejected": ["a", "c"]}']
    rows = load_unlabeled(write(tmp_path / "a.jsonl", "\n".join(lines)))
    assert rows == [Unlabeled("Q?", ("a", "b")), Unlabeled("Q?", ("a",)),
                    Unlabeled("Q?", ("a", "b", "c"))]


@pytest.mark.parametrize("name, text, message", [
    ("a.jsonl", '{"prompt": "Q", "chosen": "a", "rejected": "b"}\n{oops',
     "a.jsonl:2: not valid JSON"),
    ("a.json", '[{"prompt": "Q",]', "a.json:1: not valid JSON"),
    ("a.jsonl", '"Q"\n', "a.jsonl:1: expected an object"),
    ("a.jsonl", '{"prompt": "Q", "chosen": "a"}',
     "a.jsonl:1: no column 'rejected'; there are: prompt, chosen"),
    ("a.jsonl", '{"prompt": "Q", "chosen": " ", "rejected": "b"}', "a.jsonl:1: 'chosen' is empty"),
    ("a.jsonl", '{"prompt": "Q", "chosen": 3, "rejected": "b"}',
     "a.jsonl:1: 'chosen' must be text, not int"),
    ("a.jsonl", '{"prompt": null, "chosen": "a", "rejected": "b"}',
     "a.jsonl:1: 'prompt' is missing"),
    ("a.jsonl", '{"prompt": "Q", "chosen": "a", "rejected": []}', "a.jsonl:1: 'rejected' is empty"),
    ("a.jsonl", '{"prompt": "Q", "chosen": NaN, "rejected": "b"}',
     "a.jsonl:1: 'chosen' must be text, not float"),
    ("a.jsonl", '{"chosen": "no", "rejected": "common start"}', "a.jsonl:1: 'prompt' is empty"),
    ("a.csv", "prompt,chosen,rejected\nQ,a\n", "a.csv:2: not 3 columns"),
    ("a.csv", "prompt,chosen,rejected\nQ,a,b,c\n", "a.csv:2: not 3 columns"),
    ("a.jsonl", "", "holds no records"),
    ("a.jsonl", '{"chosen": [{"role": "user"}], "rejected": null}',
     "a.jsonl:1: a conversation needs a tokenizer"),
    ("a.txt", "hello", "must end in .json"),
    ("a.jsonl", '{"chosen": [{"role": "user", "content": "x"}], '
                '"rejected": [{"role": "user", "content": "y"}]}',
     "a.jsonl:1: a conversation needs a tokenizer with a chat template"),
])
def test_bad_files_name_place_and_remedy(tmp_path, name, text, message):
    with pytest.raises(InputError) as error:
        load_preferences(write(tmp_path / name, text))
    assert message in str(error.value) and "\n" not in str(error.value)


def test_a_table_ends_its_lines_where_csv_does(tmp_path):
    """The independent reader and writer: the csv module, with line ends that are of Unicode's."""
    rows = [{"prompt": "Q\u2028R\x0bS", "chosen": "a\nb\x85", "rejected": "c\x0cd"}]
    with open(tmp_path / "a.csv", "w", encoding="utf-8", newline="") as f:
        writer = csv.DictWriter(f, rows[0])
        writer.writeheader(), writer.writerows(rows)
    assert load_preferences(tmp_path / "a.csv") == [
        Preference("Q\u2028R\x0bS", "a\nb\x85", ("c\x0cd",))]


def test_not_text_and_not_there(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "b.jsonl.gz").write_bytes(b"not gzip")
    damaged = bytearray(gzip.compress(b"x" * 9000))
    damaged[12:20] = b"\xff" * 8
    (tmp_path / "d.jsonl.gz").write_bytes(damaged)
    for name, message in (("a.jsonl", "UTF-8"), ("b.jsonl.gz", "cannot be read"),
                          ("d.jsonl.gz", "cannot be read"),
                          ("c.jsonl", "no such file")):
        with pytest.raises(InputError, match=message):
            load_preferences(tmp_path / name)
    with pytest.raises(InputError, match="hub:owner/name/file"):
        load_preferences("hub:too/short")


def test_conversations_use_the_chat_template(tmp_path, tiny):
    tokenizer = tiny[1]
    tokenizer.chat_template = (
        "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}</>{% endfor %}"
        "{% if add_generation_prompt %}<assistant>{% endif %}")
    user, good, bad = ({"role": r, "content": c}
                       for r, c in (("user", "Q"), ("assistant", "A"), ("assistant", "B")))
    expected = Preference("<user>Q</><assistant>", "A</>", ("B</>",))
    with pytest.raises(InputError, match="'rejected' must be a conversation"):
        file = write(tmp_path / "a.jsonl", json.dumps({"chosen": [user, good], "rejected": None}))
        load_preferences(file, tokenizer)
    for record in ({"prompt": [user], "chosen": [good], "rejected": [bad]},
                   {"chosen": [user, good], "rejected": [user, bad]}):
        file = write(tmp_path / "a.jsonl", json.dumps(record))
        assert load_preferences(file, tokenizer) == [expected]


def test_splits_share_no_prompt_and_lose_nothing():
    rows = [Preference(f"p{i % 40}", f"a{i}", ("b",)) for i in range(100)]
    parts = data.split_by_prompt(rows)
    assert sorted(r.chosen for part in parts for r in part) == sorted(r.chosen for r in rows)
    prompts = [{r.prompt for r in part} for part in parts]
    assert all(prompts)
    assert not (prompts[0] & prompts[1] or prompts[0] & prompts[2] or prompts[1] & prompts[2])
    assert parts == data.split_by_prompt(rows) != data.split_by_prompt(rows, seed=1)


def test_odd_one_out_lists_are_right_and_different():
    inside, outside = [f"in{i}" for i in range(8)], [f"out{i}" for i in range(5)]
    lists = data.odd_one_out(inside, outside, 100)
    assert len(lists) == 100 == len({(r.chosen, frozenset(r.rejected)) for r in lists})
    positions = set()
    for row in lists:
        listed = row.prompt.strip().split("\n")[-1].split(", ")
        assert sorted(listed) == sorted(row.responses) and len(set(listed)) == 5
        assert row.chosen in outside and set(row.rejected) <= set(inside)
        positions.add(listed.index(row.chosen))
    assert positions == set(range(5))
    assert lists == data.odd_one_out(inside, outside, 100)
    with pytest.raises(InputError, match="do not make"):
        data.odd_one_out(inside[:4], outside[:1], 2)
    with pytest.raises(InputError, match="takes 4 items"):
        data.odd_one_out(inside[:3], outside, 1)


@pytest.mark.parametrize("language", ["en", "ko", "th", "zh"])
def test_foods(language):
    foods = read_foods(language)
    assert [len(foods[c]) for c in CATEGORIES] == [100] * 5
    names = [name.replace(" ", "").lower() for c in CATEGORIES for name in foods[c]]
    assert len(set(names)) == 500
    ranges = {"en": ("A", "z"), "ko": ("가", "힣"), "th": ("ก", "๛"), "zh": ("一", "鿿")}[language]
    assert all(ranges[0] <= letter <= ranges[1] or letter in " '-"
               for c in CATEGORIES for n in foods[c] for letter in n)


def test_test_lists_hold_unseen_words_in_every_language():
    words = {part: set() for part in ("train", "test")}
    rows = {language: [row for c in CATEGORIES for row in read_foods(language)[c]]
            for language in ("en", "ko")}
    for language in ("en", "ko"):
        domain = food_domain(f"desserts:{language}", n_train=300, n_test=100)
        words["train"] |= {rows[language].index(w) for r in domain.labeled for w in r.responses}
        words["test"] |= {rows[language].index(w) for r in domain.test for w in r.responses}
    assert words["train"] and words["test"] and not words["train"] & words["test"]
    paper = food_domain("desserts", split="lists", n_train=300, n_test=100)
    assert ({w for r in paper.test for w in r.rejected}
            & {w for r in paper.labeled for w in r.rejected})


def test_unlabeled_target_holds_no_label():
    domain = food_domain("fruits:ko", n_train=50, n_test=20)
    assert all(type(row) is Unlabeled and list(row.responses) == sorted(row.responses)
               for row in domain.unlabeled)


@pytest.mark.parametrize("name", ["meat", "desserts:fr", "desserts:", ":en"])
def test_unknown_domains(name):
    if name == "desserts:":
        assert food_domain(name, n_train=5, n_test=5).name == "desserts:en"
    else:
        with pytest.raises(InputError, match="category"):
            food_domain(name)


def test_tokens_are_those_of_the_plain_tokenizer(tiny):
    tokenizer = tiny[1]
    for row, (prefix, suffixes) in zip(ROWS, data.encode(ROWS, tokenizer, 512)):
        assert prefix[0] == tokenizer.bos_token_id
        texts = [f"{row.prompt}\n{r}" for r in row.responses]
        assert [prefix + s for s in suffixes] == [tokenizer(text)["input_ids"] for text in texts]
        assert all(suffixes)


def test_bos_is_added_where_the_tokenizer_forgets_it(tiny):
    from tokenizers import processors

    tokenizer = tiny[1]
    tokenizer._tokenizer.post_processor = processors.TemplateProcessing(single="$A")
    assert tokenizer("x")["input_ids"][0] != tokenizer.bos_token_id
    assert data.encode(ROWS[:1], tokenizer, 512)[0][0][0] == tokenizer.bos_token_id


def test_a_response_that_begins_another(tiny):
    ((prefix, suffixes),) = data.encode([Preference("Q", "yes", ("yes, sure",))], tiny[1], 100)
    assert len(suffixes[0]) == 1 and tiny[1].decode(prefix + suffixes[1]).endswith("yes, sure")


def test_long_prompts(tiny):
    row = Preference("x" * 50 + "END", "good", ("bad!!",))
    message = "mine: row 1 has 60 tokens, more than 30: raise --max-length"
    with pytest.raises(InputError, match=message):
        data.encode([row], tiny[1], 30, name="mine")
    ((prefix, suffixes),) = data.encode([row], tiny[1], 30, truncate=True)
    assert len(prefix) + max(map(len, suffixes)) == 30
    assert prefix[0] == tiny[1].bos_token_id and tiny[1].decode(prefix).endswith("END\n")
    assert [tiny[1].decode(s) for s in suffixes] == ["good", "bad!!"]
    with pytest.raises(InputError, match="response alone"):
        data.encode([row], tiny[1], 5, truncate=True)


def test_batches_of_a_token_budget_hold_every_row_once(tiny):
    encoded = data.encode(ROWS + [Preference("long " * 30, "a", ("b",))], tiny[1], 512)
    batches = data.evaluation_batches(encoded, tokens=300)
    assert sorted(i for batch in batches for i in batch["index"]) == list(range(9))
    assert len(batches) > 2
    assert all(b["input_ids"].numel() <= 300 or len(b["index"]) == 1 for b in batches)


def test_a_text_that_ends_in_the_padding_token_is_an_error(tiny):
    tokenizer = copy.deepcopy(tiny[1])
    tokenizer.pad_token = tokenizer.convert_ids_to_tokens(tokenizer("yes")["input_ids"][-1])
    with pytest.raises(data.InputError, match="row 2 ends in"):
        data.encode([data.Unlabeled("Q", ("no", "na")), data.Unlabeled("Q", ("no", "yes"))],
                    tokenizer, 512)


def test_scored_files(tmp_path):
    file = tmp_path / "a.jsonl"
    good = '{"prompt": "p", "response": "r", "score": 2}\n'
    file.write_text(good + '{"prompt": "p", "response": "s", "score": "x"}\n')
    with pytest.raises(InputError, match="a.jsonl:2: 'score' must be a number"):
        load_scored(file)
    assert len(load_unlabeled(file)) == 2  # a target's scores are never read
    file.write_text(good)
    assert load_scored(file) == load_test(file) == ([Unlabeled("p", ["r"])], [2.0])
    assert load_unlabeled(file) == [Unlabeled("p", ["r"])]
    file.write_text('{"text": "r", "label": 3}')
    assert load_test(file) == ([Unlabeled("Text:", ["r"])], [3.0])
    file.write_text('{"prompt": "Q?", "chosen": "good", "rejected": "bad", "score": 2}')
    assert load_test(file) == ([PAIR], None)
    file.write_text('{"prompt": "Q?", "responses": ["good", "bad"]}')
    with pytest.raises(InputError, match="no column 'chosen'"):
        load_test(file)
