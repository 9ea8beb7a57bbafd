"""What prepare.py does: it makes files of public data. Open formats.py first.

selection.py chooses among records, rewriting.py translates texts and makes them formal.
"""
