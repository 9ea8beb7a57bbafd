"""Texts, and what makes domains of them. Open foods.py first; for files of your own, records.py.

foods, arguments and safety have texts of their own (.tsv) and make domains of them;
files.py reads files (with reading/), records.py makes records of their rows, own.py domains of
your files;
splits.py divides items into parts.
"""
