"""Records as tokens: those of the plain tokenizer, BOS first, long prompts cut."""
import copy

import pytest
from conftest import ROWS

import data
from data import InputError, Preference, Unlabeled


def test_tokens_are_those_of_the_plain_tokenizer(tiny):
    tokenizer = tiny[1]
    for row, (n_prompt, texts) in zip(ROWS, data.encode(ROWS, tokenizer, 512)):
        strings = [f"{row.prompt}\n{r}" for r in row.responses]
        assert texts == [tokenizer(string)["input_ids"] for string in strings]
        assert tokenizer.decode(texts[0][:n_prompt]) == f"<bos>{row.prompt}\n"
    for prompt in ("Q ", "Q\n"):  # white space there is: no other joint
        ((n_prompt, texts),) = data.encode([Preference(prompt, "a", ("b",))], tokenizer, 512)
        assert tokenizer.decode(texts[1][:n_prompt]) == "<bos>" + prompt


@pytest.mark.parametrize("prompt, responses", [
    ("\n\nHuman: Q\n\nAssistant:", (" apple", " carrot")), ("Q:", ("\tyes", "\nno")),
    ("Q ", ("a", "b"))])
def test_white_space_where_prompt_and_response_meet_is_joint_enough(tiny, prompt, responses):
    """The same dialogue with and without a prompt column is the same text."""
    ((_, texts),) = data.encode([Preference(prompt, responses[0], responses[1:])], tiny[1], 99)
    assert [tiny[1].decode(text) for text in texts] == [f"<bos>{prompt}{r}" for r in responses]


@pytest.mark.parametrize("bos", ["<s>", "<bos>"])  # the second is the tokenizer's, one token
@pytest.mark.parametrize("split", range(1, len("<s>[INST]q[/INST]Ind")))
def test_what_a_template_wrote_stays_as_it_is(tiny, split, bos):
    """Wherever it is divided into prompt and response, in a word too; no BOS that it has not."""
    whole = f"{bos}[INST]q[/INST]Indeed", f"{bos}[INST]q[/INST]Indirectly"
    row = Preference(whole[0][:split], whole[0][split:], (whole[1][split:],), template=True)
    for rows in ([row], data.unlabel([row])):
        ((_, texts),) = data.encode(rows, tiny[1], 99)
        assert [tiny[1].decode(text) for text in texts] == list(whole)
    assert data.unlabel([row])[0].template


def test_bos_leads_once(tiny):
    """Where the tokenizer forgets it, and where a chat template has written it already."""
    from tokenizers import processors

    row = [Preference("<bos>Q", "a", ("b",))]
    assert data.encode(row, tiny[1], 9)[0].texts[0].count(2) == 1
    tiny[1]._tokenizer.post_processor = processors.TemplateProcessing(single="$A")
    assert tiny[1]("x")["input_ids"][0] != 2
    for record in data.encode([*ROWS, *row], tiny[1], 512):
        assert all(text[0] == 2 and text.count(2) == 1 for text in record.texts)


def test_a_string_is_tokenised_once_and_all_in_one_call(tiny):
    """Rows with a chat template, in which BOS stands already, are the other call."""
    class Counting:
        def __getattr__(self, name):
            return getattr(tiny[1], name)

        def __call__(self, strings, **options):
            calls.append(strings)
            return tiny[1](strings, **options)

    calls, one_by_one = [], [data.encode([row], tiny[1], 512)[0] for row in ROWS]
    assert data.encode(ROWS * 9, Counting(), 512) == one_by_one * 9
    assert len(calls) == 1 and len(calls[0]) == len(set(calls[0])) == 4 * len(ROWS)
    framed = [Preference("<bos>" + row.prompt, row.chosen, row.rejected) for row in ROWS]
    assert data.encode([*framed, *ROWS], Counting(), 512) == one_by_one * 2 and len(calls) == 3
    assert data.encode([], Counting(), 512) == [] and len(calls) == 3


def test_a_response_that_begins_another(tiny):
    ((n_prompt, texts),) = data.encode([Preference("Q", "yes", ("yes, sure",))], tiny[1], 100)
    assert [tiny[1].decode(text[n_prompt:]) for text in texts] == ["yes", "yes, sure"]


def test_a_single_response_shares_its_prompt_only(tiny):
    rows = [Unlabeled("Say:", ("hello",)), Unlabeled("Say:", ("good bye",))]
    encoded = data.encode(rows, tiny[1], 100)
    assert [tiny[1].decode(texts[0][n:]) for n, texts in encoded] == ["hello", "good bye"]


def test_long_prompts_are_cut_from_the_left(tiny):
    row, decode = Preference("x" * 50 + "END", "good", ("bad!!",)), tiny[1].decode
    message = "mine: row 1, .*'good', has 59 tokens, more than 30: raise --max-length, or pass --tr"
    with pytest.raises(InputError, match=message):
        data.encode([row], tiny[1], 30, name="mine")
    data.encode([row], tiny[1], 60)
    ((n_prompt, texts),) = data.encode([row], tiny[1], 30, truncate=True)
    assert [decode(text[:n_prompt]) for text in texts] == ["<bos>" + "x" * 20 + "END\n"] * 2
    assert [decode(text[n_prompt:]) for text in texts] == ["good", "bad!!"]


def test_a_response_longer_than_the_context_is_cut_on_the_right_and_counted(tiny, capsys):
    decode = tiny[1].decode
    rows = [Preference("Q", "good", ("bad",)), Preference("xxEND", "longest of all", ("bad!!",)),
            Preference("x" * 20, "yes", ("no",)), Unlabeled("Say:", ("0123456789",))]
    encoded = data.encode(rows, tiny[1], 10, truncate=True, name="mine")
    assert [[decode(text[n:]) for text in texts] for n, texts in encoded] == [
        ["good", "bad"], ["longest o", "bad!!"], ["yes", "no"], ["012345678"]]
    assert [decode(texts[0][:n]) for n, texts in encoded] == [
        "<bos>Q\n", "<bos>", "<bos>" + "x" * 5 + "\n", "<bos>"]
    assert all(len(text) <= 10 for _, texts in encoded for text in texts)
    assert capsys.readouterr().err == ("mine: 3 of 4 records are longer than 10 tokens: the prompt "
                                       "is cut from the left, in 2 the responses on the right "
                                       "too\n")
    data.encode(rows[:1], tiny[1], 10, truncate=True)
    assert not capsys.readouterr().err


def test_what_responses_share_is_not_cut(tiny):
    """They begin alike, so that the tokens that all share are not the prompt's alone."""
    row = Preference("Q" * 9, "It is one", ("It is two",))
    ((_, texts),) = data.encode([row], tiny[1], 11, truncate=True)
    assert tiny[1].decode(texts[0]) == "<bos>\nIt is one"


def test_a_text_that_ends_in_the_padding_token_is_an_error(tiny):
    tokenizer = copy.deepcopy(tiny[1])
    tokenizer.pad_token = tokenizer.convert_ids_to_tokens(tokenizer("yes")["input_ids"][-1])
    with pytest.raises(InputError, match="row 2, 'Q' and 'yes', ends in"):
        data.encode([Unlabeled("Q", ("no", "na")), Unlabeled("Q", ("noo", "yes"))], tokenizer, 512)
    data.encode([Unlabeled("Q", ("no", "yess!"))], tokenizer, 512)  # within a text it may stand
    tokenizer.pad_token = None
    with pytest.raises(InputError, match="no padding token"):
        data.encode([Unlabeled("Q", ("no", "na"))], tokenizer, 512)
