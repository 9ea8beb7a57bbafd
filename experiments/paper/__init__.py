"""The paper's own experiments, `--paper`. Open settings.py first: appendix A as a table.

files.py names and reads the authors' files, looks.py measures on the way, published.py reads the
numbers of the paper's tables from published.tsv. neighbours.py prints two other papers' setups.
"""
