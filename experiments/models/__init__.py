"""Language models: loading, saving, and what is computed with them. Open backbones.py first.

folders.py finds the files of a model, opening.py opens them, made.py makes the two of the cache;
attention.py computes attention in packed rows, language.py the losses of next tokens, generation.py
new text; training.py has checkpoints; saving.py writes and reads reward models that others open
without this code.
"""
