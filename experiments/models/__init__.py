"""Language models: loading, saving, and what is computed with them. Open backbones.py first.

opening.py finds the files of a model and says what may be opened, made.py makes the two of the
cache; attention.py computes attention in packed rows, language.py the losses of next tokens,
generation.py new text; ahead.py makes batches while a GPU is busy; distributed.py trains in several
processes, which processes.py starts and ends; saving.py writes and reads reward models that others
open without this code.
"""
