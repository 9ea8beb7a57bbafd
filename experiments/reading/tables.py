"""Tables: the rows of CSV, TSV and what spreadsheets call so.

The first line has the names of the columns. What divides the columns is what divides this line into
most: a comma in .csv and a tab elsewhere if that is as good as any, otherwise a semicolon, tab,
comma or bar. A row stands at the line where it begins, as an editor numbers lines. Where a quoted
cell goes on for lines that look like rows of their own, a line on stderr says so.
"""
import csv
import io
import re

from data import InputError

from reading.fields import listed, say, twice
from reading.texts import read_text, suffix

LIST = re.compile(r"\[\s*['\"].*['\"]\s*\]$", re.DOTALL)  # as pandas writes one into a cell
csv.field_size_limit(2**31 - 1)


def read_table(file, quoting=csv.QUOTE_MINIMAL):
    """The rows of a file with a header line, each as (where it stands, dictionary).

    Args:
        quoting: as for the csv module.
    """
    lines = [*io.StringIO(read_text(file), newline="")]
    first = next((line for line in lines if line.strip("\r\n")), "")
    usual = "," if suffix(file) == ".csv" else "\t"
    delimiter = max((usual, ";", "\t", ",", "|"), key=first.count)  # the first of equals
    reader = csv.reader(lines, delimiter=delimiter, quoting=quoting, strict=True)
    cells = _cells(file, lines, reader)
    where, names, _ = next(cells, (file, [], []))
    if name := twice(filter(str.strip, names)):
        raise InputError(f"{where}: twice the column {name!r}")
    rows, long, lists = [], [], []
    for where, values, inside in cells:
        if len(values) != len(names):
            raise InputError(f"{where}: {len(values)} cells, where the first line names "
                             f"{len(names)} columns: {listed(names)}")
        row = dict(zip(names, values))
        rows.append((where, row))
        seem = {re.sub('"[^"]*"', "", line).count(delimiter) + 1
                for line in inside if line.strip('"\r\n')}
        if len(inside) > 1 < len(names) and seem == {len(names)}:
            long.append(where)
        if LIST.match(row.get("rejected", "")) and not LIST.match(row.get("chosen", "")):
            lists.append(where)  # it may be code, so it cannot be refused
    say(long, rows, "a quoted cell goes on for lines that look like rows of their own: is a "
                    "quotation mark missing?")
    say(lists, rows, "'rejected' looks like a list and is read as one text: several responses take "
                     "JSON")
    return rows


def _cells(file, lines, reader):
    """Of each row (where it stands, its cells, its lines); empty lines are passed over."""
    end = 0
    try:
        for cells in reader:
            begin, end = end, reader.line_num
            if cells:
                yield f"{file}:{begin + 1}", cells, lines[begin:end]
    except csv.Error as error:
        raise InputError(f"{file}:{end + 1}: {error}") from None
