"""Shared by the tests: the paths, --slow, and small random models. Nothing here needs a network."""
import copy
import os
import sys
from argparse import Namespace
from functools import cache as once
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / name) for name in ("", "experiments", "toy")]
os.environ["HF_HUB_OFFLINE"] = "1"  # a test that wants the network must fail here too

import torch  # noqa: E402
import transformers  # noqa: E402

torch.set_num_threads(1)  # the models are tiny: more threads only wait for each other

import data  # noqa: E402
import dial  # noqa: E402
from domains.splits import Domain  # noqa: E402
from harness import runs  # noqa: E402
from models import backbones, generation, opening  # noqa: E402


def pytest_addoption(parser):
    parser.addoption("--slow", action="store_true",
                     help="also run the checks on the real Gemma-3-270M")


def pytest_configure(config):
    config.addinivalue_line("filterwarnings", "ignore:.*is_gradient_checkpointing")  # of peft
    config.addinivalue_line("markers", "slow: on the real weights, minutes; run with --slow")


def pytest_collection_modifyitems(config, items):
    if not config.getoption("--slow"):
        for item in items:
            if "slow" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="needs --slow"))


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    """A cache folder of the tests' own, so that they neither use nor change the user's."""
    if "DIAL_CACHE" not in os.environ:
        os.environ["DIAL_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    return Path(os.environ["DIAL_CACHE"])


@pytest.fixture(scope="session", autouse=True)
def copies():
    """Hundreds of tests open the tiny model. The first opens its files; the others get a copy,
    which takes a seventh of the time. All that `backbones.load` does with it is done each time."""
    open_model = opening.open_model
    opened = once(lambda folder, kind, *how, **options: open_model(kind, "tiny", *how, **options))

    def open_or_copy(kind, name, *how, **options):
        if name != "tiny":
            return open_model(kind, name, *how, **options)
        return copy.deepcopy(opened(opening.locate(name), kind, *how, **options))

    with pytest.MonkeyPatch.context() as patch:
        for module in (backbones, generation):
            patch.setattr(module, "open_model", open_or_copy)
        yield


@pytest.fixture
def tiny(cache):
    """(classifier, tokenizer) of the tiny random Gemma 3, fp32."""
    return backbones.load("tiny", "cpu", "float32")[:2]


@pytest.fixture
def config():
    return dial.DialConfig(steps=3, learning_rate=1e-2, lambda_da=1.0, lora_rank=4, lora_alpha=4,
                           scale_embeddings=True)


ROWS = [data.Preference(f"Which one is number {i}?", f"It is {i}, I am sure.",
                        (f"{i + 1}", "No idea.")) for i in range(8)]


@pytest.fixture
def batches(tiny):
    """A function that makes batches of ROWS as source and their unlabelled texts as target."""
    source = data.encode(ROWS, tiny[1], 512)
    target = data.encode(data.unlabel(ROWS[::-1]), tiny[1], 512)
    return lambda steps=3, seed=0, **kw: data.training_batches([source], target, 2, steps, seed,
                                                               **kw)


@pytest.fixture
def args(cache, config, tmp_path):
    """The flags that `harness.runs.run` reads."""
    return Namespace(model="tiny", device="cpu", dtype="float32", config=config, max_length=200,
                     truncate=False, batch_size=2, training=None, paper=None, eval_every=0,
                     question="Which?", gradient_checkpointing=False, compile=False, save=None,
                     attention="blocks", checkpoint_every=0, shard=False, out=tmp_path)


# What a command takes to be over in a second; the tiny model's tokens are bytes, so texts are long.
FAST = ["--model", "tiny", "--device", "cpu", "--dtype", "float32", "--steps", "1",
        "--batch-size", "2", "--seeds", "0", "--max-length", "4096", "--set", "lora_layers=1"]
SMALL = ["--n-train", "8", "--n-test", "4"]


@pytest.fixture
def undrawn(monkeypatch):
    """Pictures are made but not drawn, which takes longer than the rest: their files are empty."""
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda *_, **__: None)


def preferences(mark, n):
    """Preferences whose texts say where they are from."""
    return [data.Preference(f"{mark}{i}?", f"yes {mark}", (f"no {mark}",)) for i in range(n)]


def pair_of_domains():
    """SL, ST: the source's labelled and test texts; TL, TU, TT: the target's labelled, unlabelled
    and test texts."""
    unlabeled = [data.Unlabeled(f"TU{i}?", ("yes TU", "no TU")) for i in range(4)]
    return (Domain("source", preferences("SL", 5), (), preferences("ST", 4)),
            Domain("target", preferences("TL", 7), unlabeled, preferences("TT", 6)))


def load(args):
    """The backbone of a command's flags."""
    return backbones.load(args.model, args.device, args.dtype, args.compile)


def run_once(args, method, *pairs, seed=0, backbone=None, **options):
    """Train a method on the first of the pairs and measure it on all, as a command does."""
    backbone = backbone or load(args)
    encoded = runs.encode_all(args, backbone, [(method, seed, pairs)])
    return runs.run(args, backbone, encoded, method, seed, pairs, **options)


@pytest.fixture
def trained(monkeypatch):
    """A list that gets, after each training, the weights of what was trained: a list of tensors."""
    weights, train = [], dial.train

    def spy(model, critic, *args, **options):
        log = train(model, critic, *args, **options)
        weights.append([p.detach().clone() for m in (model, critic) for p in m.parameters()
                        if p.requires_grad])
        return log

    monkeypatch.setattr(dial, "train", spy)
    return weights


def random_classifier(kind, n_labels=1, **changes):
    """A small random classifier, its attention windows shorter than the texts of the tests: a copy
    of one that is made once, with the random numbers that come after."""
    classifier, state = make_classifier(kind, n_labels, tuple(changes.items()))
    torch.set_rng_state(state)
    return copy.deepcopy(classifier)


@once
def make_classifier(kind, n_labels, changes):
    common = dict(vocab_size=300, hidden_size=32, intermediate_size=48, num_hidden_layers=3,
                  num_attention_heads=2, num_key_value_heads=1, head_dim=16,
                  pad_token_id=0) | dict(changes)
    window = dict(sliding_window=7, query_pre_attn_scalar=16,
                  layer_types=["sliding_attention", "full_attention", "sliding_attention"])
    configs = {
        "gemma": lambda: transformers.GemmaConfig(**common),
        "gemma2": lambda: transformers.Gemma2Config(**common | window),
        "gemma3_text": lambda: transformers.Gemma3TextConfig(**common | window),
        "llama": lambda: transformers.LlamaConfig(**common),
        "mistral": lambda: transformers.MistralConfig(**common | {"sliding_window": 7}),
        "qwen2": lambda: transformers.Qwen2Config(**common),
        "qwen3": lambda: transformers.Qwen3Config(**common),
        "neox": lambda: transformers.GPTNeoXConfig(
            vocab_size=300, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
            num_attention_heads=2, pad_token_id=0),
        "bloom": lambda: transformers.BloomConfig(vocab_size=300, hidden_size=32, n_layer=2,
                                                  n_head=2, pad_token_id=0),
    }
    torch.manual_seed(0)
    model_config = configs[kind]()
    model_config.num_labels = n_labels
    classifier = transformers.AutoModelForSequenceClassification.from_config(model_config)
    for p in classifier.parameters():  # the usual weights hardly mix positions and hide mistakes
        if p.ndim == 2:
            torch.nn.init.normal_(p, std=0.2)
    if kind in backbones.SHARE_ROWS:
        classifier.set_attn_implementation("blocks")
    return classifier, torch.get_rng_state()
