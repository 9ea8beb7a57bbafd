"""What reads files of every form. Open tables.py first; domains/files.py says what is read.

texts.py decodes a file, tables.py reads CSV and its like, hub.py Parquet and the hub. fields.py has
the names of columns and checks a single field, and conversations.py makes texts of messages.
"""
