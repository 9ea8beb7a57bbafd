"""A tokenizer that has a beginning of sequence (BOS) and does not write it."""
from tokenizers import processors

from data import InputError


def add_bos(tokenizer):
    """Let a tokenizer put its BOS before plain text, where it does not: `data.encode` trains with
    BOS, so that the tokenizer which is saved must write it, too."""
    bos = tokenizer.bos_token
    if bos is None or begins(tokenizer):
        return
    tokenizer.add_bos_token = True  # some classes write it then, and keep that when they are saved
    fast = getattr(tokenizer, "backend_tokenizer", None)
    if not begins(tokenizer) and fast is not None:
        before = processors.TemplateProcessing(
            single=f"{bos} $A", pair=f"{bos} $A {bos} $B",
            special_tokens=[(bos, tokenizer.bos_token_id)])
        fast.post_processor = processors.Sequence(
            [p for p in (fast.post_processor, before) if p is not None])
    if not begins(tokenizer):
        raise InputError(f"the tokenizer has {bos!r} as its beginning of sequence and cannot be "
                         "made to write it")


def begins(tokenizer):
    return tokenizer("a")["input_ids"][:1] == [tokenizer.bos_token_id]
