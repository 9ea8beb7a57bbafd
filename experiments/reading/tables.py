"""Tables: the rows of CSV, TSV and what spreadsheets call so.

The first line has the names of the columns. What divides the columns is what divides this line into
most: a comma in .csv and a tab elsewhere if that is as good as any, otherwise a semicolon, tab,
comma or bar. A line `sep=;` before it, as Excel writes one, says so itself.
"""
import csv
import io
import re
import sys

from data import InputError

from reading.fields import no_column
from reading.texts import read_text, suffix

# Before the header: empty lines and what Excel says.
SEPARATOR = re.compile(r'[\r\n]*(?:"?sep=(?P<said>[^\w\r\n"])"?(?:[\r\n]+|$))?', re.IGNORECASE)
LIST = re.compile(r"\[\s*['\"].*['\"]\s*\]$", re.DOTALL)  # as pandas writes one into a cell
csv.field_size_limit(2**31 - 1)


def read_table(file, delimiter=None, columns=(), quoting=csv.QUOTE_MINIMAL):
    """The rows of a file with a header line, each as (where it stands, dictionary).

    Args:
        delimiter: if not given, what the header says. columns: that must be there.
        quoting: as for the csv module.
    """
    whole = read_text(file)
    before = SEPARATOR.match(whole)
    text, skipped = whole[before.end():], len(before[0].splitlines())
    usual = "," if suffix(file) == ".csv" else "\t"
    delimiter = before["said"] or delimiter or _delimiter(text, usual)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, quoting=quoting,
                            strict=True)
    rows = []
    try:
        names = reader.fieldnames or []
        if missing := [c for c in columns if c not in names]:
            raise no_column(missing[0], names, file)
        if twice := [c for c in names if c.strip() and names.count(c) > 1]:
            raise InputError(f"{file}: twice the column {twice[0]!r}")
        for row in reader:
            where = f"{file}:{reader.line_num + skipped}"
            if None in row or None in row.values():
                raise InputError(f"{where}: not {len(names)} columns as in the first line")
            rows.append((where, row))
    except csv.Error as error:
        raise InputError(f"{file}:{reader.reader.line_num + skipped}: {error}") from None
    lists = [row for _, row in rows if LIST.match(row.get("rejected", ""))
             and not LIST.match(row.get("chosen", ""))]
    if lists:  # they may be code, so they cannot be refused
        print(f"{file}: in {len(lists)} of {len(rows)} rows 'rejected' looks like a list and is "
              "read as one text: several responses take JSON", file=sys.stderr)
    return rows


def _delimiter(text, usual):
    def columns(delimiter):
        try:
            return len(next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), ()))
        except csv.Error:
            return 0

    return max((usual, ";", "\t", ",", "|"), key=columns)  # the first of equals
