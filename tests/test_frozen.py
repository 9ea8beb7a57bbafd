"""methods/frozen.py against the whole model: log probabilities, states and their means."""
import pytest
import torch
from argparse import Namespace
from conftest import ROWS

import data
from data import InputError
from methods import frozen
from models import backbones

ARGS = Namespace(model="tiny", max_length=200, truncate=False)


@pytest.fixture
def backbone(cache):
    return backbones.load("tiny", "cpu", "float32")


@pytest.fixture
def texts(backbone):
    return frozen.read(ARGS, backbone, {"a": ROWS[:5], "b": ROWS[5:]})


def whole(backbone, prompt, response):
    """(states after each token, ids, length of the response) of a text by itself."""
    (row,) = data.encode([data.Preference(prompt, response, ("other",))], backbone.tokenizer, 200)
    ids, n = row.texts[0], len(row.texts[0]) - row.n_prompt
    backbone.classifier.set_attn_implementation("sdpa")
    with torch.no_grad():
        hidden = backbone.classifier.base_model(torch.tensor([ids])).last_hidden_state[0]
    backbone.classifier.set_attn_implementation("blocks")
    return hidden, torch.tensor(ids), n


def test_log_probs_are_those_of_the_changed_output_layer(backbone, texts):
    """Of every response, for a random theta, and for theta = 0, from the definition; the records
    come in their own order, whatever the batches were."""
    torch.manual_seed(0)
    layer = texts["a"].layer
    weight = backbone.classifier.get_input_embeddings().weight.detach()
    tokens = torch.tensor(sorted({t for row in data.encode(ROWS, backbone.tokenizer, 200)
                                  for text in row.texts for t in text[row.n_prompt:]}))
    for theta in (torch.zeros(texts["a"].z.shape[1], layer.output.shape[1]),
                  torch.randn(texts["a"].z.shape[1], layer.output.shape[1])):
        expected = []
        for row in ROWS[:5]:
            for response in row.responses:
                hidden, ids, n = whole(backbone, row.prompt, response)
                h = hidden[-n - 1: -1]
                logits = h @ weight[tokens].T + layer.z(h) @ theta @ layer.output.T
                place = torch.tensor([tokens.tolist().index(t) for t in ids[-n:].tolist()])
                taken = logits.log_softmax(1)[torch.arange(n), place]
                expected.append(taken.sum())
                moved = layer.moved(h, theta) @ weight[tokens].T  # the same policy
                torch.testing.assert_close(moved.log_softmax(1), logits.log_softmax(1), atol=1e-4,
                                           rtol=1e-4)
        torch.testing.assert_close(texts["a"].log_probs(theta), torch.stack(expected), atol=1e-3,
                                   rtol=1e-4)


def test_last_and_mean_states(backbone, texts):
    number = 0
    for row in ROWS[5:]:
        for response in row.responses:
            hidden, _, n = whole(backbone, row.prompt, response)
            torch.testing.assert_close(texts["b"].last[number], hidden[-1], atol=1e-4, rtol=1e-4)
            torch.testing.assert_close(texts["b"].mean[number], hidden[-n:].mean(0), atol=1e-4,
                                       rtol=1e-4)
            assert texts["b"].length[number] == n
            number += 1
    assert number == len(texts["b"].length) == sum(texts["b"].counts)


def test_alone_is_without_the_prompt_and_without_bos(backbone):
    mean = frozen.alone(backbone, ["It is 3.", "No"])
    for text, found in zip(["It is 3.", "No"], mean):
        ids = backbone.tokenizer(text)["input_ids"]
        backbone.classifier.set_attn_implementation("sdpa")
        with torch.no_grad():
            hidden = backbone.classifier.base_model(torch.tensor([ids])).last_hidden_state[0]
        backbone.classifier.set_attn_implementation("blocks")
        torch.testing.assert_close(found, hidden[1:].mean(0), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("eos", [True, False])
def test_alone_where_a_tokenizer_has_no_bos(backbone, eos):
    """The end of a text stands in its place, or padding, and every token of a response counts."""
    ids = {"It is 3.": [70, 90, 110], "No": [80], "": []}
    tokenizer = backbone.tokenizer

    class WithoutBos:
        eos_token_id = tokenizer.eos_token_id if eos else None
        pad_token_id = tokenizer.pad_token_id

        def __call__(self, texts, add_special_tokens=True):
            return {"input_ids": ids[texts] if isinstance(texts, str) else [ids[t] for t in texts]}

    found = frozen.alone(backbone._replace(tokenizer=WithoutBos()), ["It is 3.", "No"])
    backbone.classifier.set_attn_implementation("sdpa")
    for text, mean in zip(["It is 3.", "No"], found):
        with torch.no_grad():
            hidden = backbone.classifier.base_model(torch.tensor(
                [[tokenizer.eos_token_id if eos else tokenizer.pad_token_id, *ids[text]]])).last_hidden_state[0]
        torch.testing.assert_close(mean, hidden[1:].mean(0), atol=1e-4, rtol=1e-4)
    backbone.classifier.set_attn_implementation("blocks")


def test_components_are_of_variance_one_and_uncorrelated():
    torch.manual_seed(0)
    rows = torch.randn(500, 6).double() @ torch.randn(6, 6).double() + 3
    center, basis = frozen.components(rows, 4)
    z = (rows - center) @ basis
    torch.testing.assert_close(z.T.cov(), torch.eye(4).double())
    torch.testing.assert_close(z.mean(0), torch.zeros(4).double(), atol=1e-12, rtol=0)


def test_select(texts):
    part = texts["a"].select([3, 1])
    theta = torch.randn(part.z.shape[1], part.layer.output.shape[1])
    whole = texts["a"].log_probs(theta).split(texts["a"].counts)
    torch.testing.assert_close(part.log_probs(theta), torch.cat([whole[3], whole[1]]))
    assert part.counts == [texts["a"].counts[i] for i in (3, 1)]
    few = texts["a"].responses(torch.tensor([7, 0]), [2])
    torch.testing.assert_close(few.log_probs(theta), texts["a"].log_probs(theta)[[7, 0]])


def test_untied_embeddings(backbone):
    backbone.classifier.config.tie_word_embeddings = False
    with pytest.raises(InputError, match="--model tiny: its output layer is not"):
        frozen.read(ARGS, backbone, {"a": ROWS})
