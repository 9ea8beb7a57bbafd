"""The prompt of texts that come without one, as in HH-RLHF: what they begin with alike."""
import re
from os.path import commonprefix

from data import InputError

from reading.fields import LEAVE_OUT, no_column

PROMPTS = {"prompt", "question", "instruction", "query", "input"}  # as others may call it
# Where a text without a prompt may be cut, the best first: none of it opens a quotation.
CUTS = (r"\s", r"[:：.。?？!！;；…‥]", r"[,，、)）\]】」』”’》〉—~～-]")
ANSWERS = re.compile(r"[:：]\s*$")  # what a text ends in whose answer is empty


def divide(texts, row, where, allow_empty):
    """(prompt, responses) of texts that begin with the same prompt."""
    shared = commonprefix(texts)
    ends = [[m.end() for m in re.finditer(cut, shared)] for cut in CUTS]
    end = next((places[-1] for places in ends if places and shared[:places[-1]].strip()), 0)
    if any(text.strip() == shared.strip() for text in texts) and ANSWERS.search(shared):
        end = len(shared)
    if PROMPTS & {name.strip().lower() for name in row} or not end and not (
            allow_empty and "" in map(str.strip, texts)):
        raise no_column("prompt", row, where)
    responses = [text[end:] for text in texts]
    if not allow_empty and not all(map(str.strip, responses)):
        raise InputError(f"{where}: an answer is empty, after what chosen and rejected share, "
                         f"{shared[-40:]!r}; {LEAVE_OUT}")
    return shared[:end], responses
