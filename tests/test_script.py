"""dial.py and data.py alone: the script that data.py begins with."""
import textwrap
from argparse import Namespace

from conftest import random_classifier

import data
import dial


def test_the_script_that_data_begins_with(tiny, config):
    """dial.py and data.py alone, on transformers' own attention."""
    script = data.__doc__.partition("a model:\n\n")[2]
    classifier = random_classifier("llama")
    classifier.set_attn_implementation("sdpa")
    names = vars(dial) | vars(data) | {
        "AutoModelForSequenceClassification": Namespace(from_pretrained=lambda *_, **__: classifier),
        "name": "", "config": config, "tokenizer": tiny[1], "prompt": "Which?", "chosen": "a",
        "rejected": "b", "response": "c"}
    exec(textwrap.dedent(script).replace(", ...]", "]"), names)
    assert [len(r) for r in names["rewards"]] == [2] and names["critic"].layers
