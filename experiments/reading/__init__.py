"""What reads files of every form. Open tables.py first; domains/files.py says what is read.

texts.py decodes a file, tables.py reads CSV and its like, hub.py Parquet, Arrow and the hub.
fields.py has the names of columns and checks a single field, cells.py finds conversations that were
written into a text, and conversations.py makes texts of messages.
"""
