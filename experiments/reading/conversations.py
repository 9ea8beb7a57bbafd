"""Conversations to texts, by the chat template of a model.

A message is {"role": "user", "content": "..."}; its content may also be a list of parts of type
"text". A conversation is a list of messages, or a single message. What a record's texts are:

- The prompt is the messages that all responses begin with, but at most up to their last one.
- A prompt that is a conversation is put before the responses. They may repeat it, or its last
  messages; these count once.
- A prompt that is text is the user's message where the responses hold the answer alone. Where they
  are whole dialogues, the text must be one of the messages that they share.
- A response that is text, beside a prompt that is a conversation, is the assistant's message.

The text of a response is the template's for all messages, whole: `template` of a record says that
nothing is to be put before or into it. It is divided where the text of the prompt by itself, with
the words that begin an answer, ceases to be the beginning of all texts.
"""
from itertools import takewhile
from os.path import commonprefix
from threading import Thread

from data import InputError

from reading.fields import EmptyText, is_blank, text_of

SET_BEFORE = ("system", "developer")  # roles of messages that are not part of a dialogue
SECONDS = 10  # that a template may take for a record
# Some templates write today's date, and a run that goes on tomorrow would read other texts.
DATE = ("{% macro strftime_now(format) %}{{ format | replace('%d', '26') | replace('%m', '07') | "
        "replace('%b', 'Jul') | replace('%B', 'July') | replace('%Y', '2024') }}{% endmacro %}\n")


def is_chat(value):
    """Whether a field is a conversation."""
    if isinstance(value, list):
        return any(isinstance(message, dict) for message in value)
    return isinstance(value, dict) and bool(value.keys() & {"role", "content"})


def last_answer(messages, where):
    """A conversation up to the last message of the assistant: what follows that is left out."""
    if not is_chat(messages):
        raise InputError(f"{where}: 'messages' must be a list of messages")
    messages = read_messages(messages, "messages", where)
    while messages and messages[-1]["role"] != "assistant":
        messages.pop()
    if not messages:
        raise InputError(f"{where}: 'messages' holds none of the assistant")
    return messages


def chat_texts(prompt, responses, names, where, tokenizer):
    """The texts of a prompt and of its responses, as the chat template writes them.

    Args:
        prompt: a conversation, a text or None. responses: conversations, or texts. names: of the
            fields, a name for each response. where: they stand, for errors.
    Returns (text, list of texts). Raises InputError for what is no conversation.
    """
    if not getattr(tokenizer, "chat_template", None):
        raise InputError(f"{where}: a conversation needs a tokenizer with a chat template, of an "
                         "instruction-tuned --model (prepare.py takes plain texts)")
    fields = " and ".join(dict.fromkeys(names))
    if len(set(map(is_chat, responses))) > 1:
        raise InputError(f"{where}: {fields}: some are conversations and some are none")
    dialogues = [read_messages(r, name, where) for r, name in zip(responses, names)]
    if not isinstance(prompt, (list, dict)):
        prompt = text_of(prompt, "prompt", where, True)
        spoken = any(m["role"] == "user" for dialogue in dialogues for m in dialogue)
        if prompt.strip() and not spoken:
            prompt = {"role": "user", "content": prompt}
    if not isinstance(prompt, str):
        prompt = read_messages(prompt, "prompt", where)
        dialogues = [prompt + _without(prompt, dialogue, name, where)
                     for dialogue, name in zip(dialogues, names)]
    before = zip(*(dialogue[:-1] for dialogue in dialogues))
    shared = [same[0] for same in takewhile(lambda same: all(m == same[0] for m in same), before)]
    if all(message["role"] in SET_BEFORE for message in shared):
        raise InputError(f"{where}: {fields} begin with different messages, or with none but the "
                         "answer: what is the prompt?")
    if isinstance(prompt, str) and prompt.strip() and prompt.split() not in (
            [message["content"].split() for message in shared]):
        raise InputError(f"{where}: 'prompt' is not among the messages that {fields} begin with")
    return _written(shared, dialogues, tokenizer, where)


def read_messages(value, name, where):
    """A conversation as a list of messages with text; of a text the assistant's message."""
    if isinstance(value, str):
        value = {"role": "assistant", "content": value}
    messages = []
    for message in value if isinstance(value, list) else [value]:
        if not isinstance(message, dict) or not {"role", "content"} <= message.keys():
            fields = ", ".join(map(repr, message)) if isinstance(message, dict) else repr(message)
            raise InputError(f"{where}: '{name}': a message has 'role' and 'content', "
                             f"not {fields[:60]}")
        content = message["content"]
        if content is None and message.get("tool_calls"):
            content = ""
        if isinstance(content, list) and content and all(
                isinstance(part, dict) and part.get("type") == "text" for part in content):
            content = "".join(text_of(part.get("text"), name, where, True) for part in content)
        if not isinstance(content, str) or not isinstance(message["role"], str):
            raise InputError(f"{where}: '{name}': a message's role and content must be text")
        used = {key: entry for key, entry in message.items() if entry is not None}  # as in Parquet
        messages.append(used | {"content": text_of(content, name, where, True)})
    if not messages or is_blank(messages[-1]["content"]):
        raise EmptyText(f"{where}: '{name}' is empty, or its last message is")
    return messages


def _without(prompt, dialogue, name, where):
    """What is new in a dialogue that may begin with the prompt, or with the end of it."""
    repeated = max(n for n in range(len(prompt) + 1) if prompt[len(prompt) - n:] == dialogue[:n])
    new = dialogue[repeated:]
    if not new or new[0]["role"] in (*SET_BEFORE, prompt[-1]["role"]):
        raise InputError(f"{where}: '{name}' does not go on where 'prompt' ends")
    return new


def dated(tokenizer):
    """The chat template of a tokenizer, for which it is 26 July 2024 for ever."""
    return DATE + tokenizer.get_chat_template()


def _written(prompt, dialogues, tokenizer, where):
    """The texts of dialogues, divided after what their prompt brings about."""
    written = []

    def write():  # a template is a program of its author's: it may fail, and it may never end
        try:
            written.append([tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=messages is prompt,
                chat_template=dated(tokenizer))
                for messages in (prompt, *dialogues)])
        except Exception as error:
            written.append(error)

    thread = Thread(target=write, daemon=True)
    thread.start(), thread.join(SECONDS)
    if not written or isinstance(written[0], Exception):
        problem = written[0] if written else f"it took more than {SECONDS} seconds"
        raise InputError(f"{where}: the chat template does not take it: {problem}")
    start, *texts = written[0]
    end = len(commonprefix([start, *texts]))
    if not texts[0][:end].strip() or any(not text[end:].strip() for text in texts):
        raise InputError(f"{where}: the chat template leaves nothing of the prompt or an answer")
    return texts[0][:end], [text[end:] for text in texts]
