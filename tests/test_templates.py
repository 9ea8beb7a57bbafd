"""Chat templates that cannot be used."""
import threading

import pytest
from test_conversations import LABELED, chatml, loaded, tiny_tokenizer  # noqa: F401  (fixtures)

from data import InputError
from reading import conversations


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
