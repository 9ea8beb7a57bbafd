"""Conversations and chat templates that cannot be used."""
import threading

import pytest
from test_conversations import (BAD, GOOD, LABELED, MORE, SYSTEM, USER, WORSE, chatml,  # noqa: F401
                                loaded, said, tiny_tokenizer)
from test_records import load_unlabeled

from data import InputError
from reading import conversations


@pytest.mark.parametrize("row, message", [
    ({"chosen": [USER, GOOD], "rejected": "B"}, "chosen and rejected: some are conv"),
    ({"prompt": "Q", "chosen": "A", "rejected": [BAD]}, "rejected: some are conv"),
    ({"chosen": [USER, GOOD], "rejected": [MORE, BAD]},
     "chosen and rejected begin with different messages"),
    ({"chosen": [SYSTEM, USER, GOOD], "rejected": [SYSTEM, MORE, BAD]}, "begin with different"),
    ({"chosen": [GOOD], "rejected": [BAD]}, "what is the prompt"),
    ({"prompt": "", "chosen": [GOOD], "rejected": [BAD]}, "what is the prompt"),
    ({"prompt": "R", "chosen": [USER, GOOD], "rejected": [USER, BAD]}, "'prompt' is not among"),
    ({"prompt": 3, "chosen": [USER, GOOD], "rejected": [USER, BAD]}, "'prompt' must be text"),
    ({"prompt": [], "chosen": [USER, GOOD], "rejected": [USER, BAD]}, "'prompt' is empty"),
    ({"prompt": [MORE], "chosen": [USER, GOOD], "rejected": [USER, BAD]}, "'chosen' does not go"),
    ({"prompt": [USER], "chosen": [GOOD], "rejected": [USER]}, "'rejected' does not go on"),
    ({"prompt": [USER], "chosen": [GOOD], "rejected": [WORSE | {"content": " "}]}, "is empty, or"),
    ({"prompt": [USER], "chosen": [GOOD], "rejected": [[BAD], []]}, "rejected: some are conv"),
    ({"prompt": [USER], "chosen": [{"from": "gpt", "value": "A"}], "rejected": [BAD]},
     "a message has 'role' and 'content', not 'from', 'value'"),
    ({"prompt": [USER], "chosen": [said("assistant", None)], "rejected": [BAD]}, "must be text"),
    ({"prompt": [USER], "chosen": [said("assistant", [{"type": "image"}])], "rejected": [BAD]},
     "'chosen': a message's role and content must be text"),
    ({"prompt": [USER], "chosen": [said("assistant", "\ud83d")], "rejected": [BAD]}, "half a char"),
    ({"messages": [USER]}, "'messages' holds none of the assistant"),
    ({"messages": "Q"}, "'messages' must be a list of messages"),
])
def test_what_is_no_conversation(tmp_path, chatml, row, message):  # noqa: F811
    with pytest.raises(InputError, match=f"a.jsonl:1: .*{message}") as error:
        loaded(tmp_path, chatml, row, load=load_unlabeled)
    assert "\n" not in str(error.value)


def test_what_a_template_does_not_take(tmp_path, chatml):  # noqa: F811
    row, _ = LABELED[0]
    for template, message in (("{{ raise_exception('no\nway') }}", "does not take it: no way"),
                              ("{{ messages[0].content }}", "leaves nothing of the prompt or an"),
                              ("{{ messages | length }}", "leaves nothing of the prompt or an"),
                              (None, "needs a tokenizer with a chat template")):
        chatml.chat_template = template
        with pytest.raises(InputError, match=f"a.jsonl:1: .*{message}"):
            loaded(tmp_path, chatml, row)


def test_the_date_of_a_template_is_always_the_same(tmp_path, chatml):  # noqa: F811
    """As in Llama 3.2's; otherwise a run that is continued tomorrow reads other texts."""
    template = chatml.chat_template
    for asked, written in (("%d %b %Y", "26 Jul 2024"), ("%Y-%m-%d", "2024-07-26")):
        chatml.chat_template = f"\n{{{{ strftime_now('{asked}') }}}}{template}"
        (row,) = loaded(tmp_path, chatml, LABELED[0][0])
        assert row.prompt.startswith(f"\n{written}")


def test_a_template_without_end_is_not_waited_for(tmp_path, chatml, monkeypatch):  # noqa: F811
    """This one ends after some seconds: its thread goes on, and would slow down all later tests."""
    monkeypatch.setattr(conversations, "SECONDS", 0.05)
    chatml.chat_template = ("{% for i in range(10**5) %}{% for i in range(20) %}{% endfor %}"
                            "{% endfor %}")
    threads = set(threading.enumerate())
    with pytest.raises(InputError, match="a.jsonl:1: .*does not take it: it took more than 0.05"):
        loaded(tmp_path, chatml, LABELED[0][0])
    for thread in set(threading.enumerate()) - threads:
        thread.join(60)
        assert not thread.is_alive()
