"""Tables: the rows of CSV, TSV and what spreadsheets call so.

The first line has the names of the columns. What divides the columns is what divides this line into
most: a comma in .csv and a tab elsewhere if that is as good as any, otherwise a semicolon, tab,
comma or bar.
"""
import csv
import io
import re
import sys

from data import InputError

from reading.texts import read_text, suffix

LIST = re.compile(r"\[\s*['\"].*['\"]\s*\]$", re.DOTALL)  # as pandas writes one into a cell
csv.field_size_limit(2**31 - 1)


def read_table(file, quoting=csv.QUOTE_MINIMAL):
    """The rows of a file with a header line, each as (the line where it begins, dictionary).

    Args:
        quoting: as for the csv module.
    """
    text, names, rows, end = read_text(file), None, [], 0
    first = text.lstrip("\r\n").partition("\n")[0]
    usual = "," if suffix(file) == ".csv" else "\t"
    delimiter = max((usual, ";", "\t", ",", "|"), key=first.count)  # the first of equals
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, quoting=quoting,
                       strict=True)
    try:
        for cells in lines:
            where, end = f"{file}:{end + 1}", lines.line_num
            if cells and names is None:
                names = cells
                if twice := [c for c in names if c.strip() and names.count(c) > 1]:
                    raise InputError(f"{where}: twice the column {twice[0]!r}")
            elif cells:
                if len(cells) != len(names):
                    raise InputError(f"{where}: {len(cells)} cells, where the first line names "
                                     f"{len(names)} columns: {', '.join(map(repr, names))}")
                rows.append((where, dict(zip(names, cells))))
    except csv.Error as error:
        raise InputError(f"{file}:{end + 1}: {error}") from None
    lists = sum(bool(LIST.match(row.get("rejected", ""))) and not LIST.match(row.get("chosen", ""))
                for _, row in rows)
    if lists:  # they may be code, so they cannot be refused
        print(f"{file}: in {lists} of {len(rows)} rows 'rejected' looks like a list and is read as "
              "one text: several responses take JSON", file=sys.stderr)
    return rows
