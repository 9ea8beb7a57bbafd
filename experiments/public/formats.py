"""The formats that prepare.py reads: each takes files and yields (where, row): where the row
stands, for errors; the row, for records.py to read."""
import csv

from data import InputError
from domains.files import read_rows
from reading.fields import no_column
from reading.tables import read_table


def rows_with(names, files, read=read_rows, **options):
    """The rows of all files, each as (where, dictionary), which have these columns."""
    for file in files:
        if not (rows := list(read(file, **options))):
            raise InputError(f"{file}: holds no records")
        for where, row in rows:
            if missing := [name for name in names if name not in row]:
                raise no_column(missing[0], row, where)
            yield where, row


def shp(files):
    """SHP, a subreddit's .json: the comment that was preferred; its own parts (A.2)"""
    for where, row in rows_with(("history", "human_ref_A", "human_ref_B", "labels"), files):
        if row["labels"] not in (0, 1):
            raise InputError(f"{where}: 'labels' must be 1 (A) or 0 (B), not {row['labels']!r}")
        a, b = row["human_ref_A"], row["human_ref_B"]
        chosen, rejected = (a, b) if row["labels"] else (b, a)
        yield where, {"prompt": row["history"], "chosen": chosen, "rejected": rejected}


def sib200(files):
    """SIB-200, .tsv: a text; its topic beats the other topics"""
    rows = list(rows_with(("category", "text"), files, read_table, quoting=csv.QUOTE_NONE))
    topics = sorted({row["category"] for _, row in rows})
    for where, row in rows:
        yield where, {"prompt": f"{row['text']}\nThe topic of this text is:",
                      "chosen": row["category"],
                      "rejected": [t for t in topics if t != row["category"]]}


def paradetox(files):
    """ParaDetox, .tsv: the civil wording beats the toxic one"""
    for where, row in rows_with(("toxic", "neutral1"), files):
        yield where, {"prompt": "Which of these comments is civil?", "chosen": row["neutral1"],
                      "rejected": row["toxic"]}


def xstest_answers(files):
    """{(prompt, whether it is unsafe): (compliances, refusals)} of XSTest's .csv files with
    completions, of all models; rlhf_shift.py reads them."""
    answers = {}
    for _, row in rows_with(("prompt", "completion", "type", "final_label"), files, read_table):
        kinds = answers.setdefault((row["prompt"], row["type"].startswith("contrast")), ([], []))
        for kind, label in zip(kinds, ("1_full_compliance", "2_full_refusal")):
            if row["final_label"] == label and (text := row["completion"].strip()):
                kind.append(text)
    return answers


def plain(files):
    """what the commands read already (HH-RLHF too; no conversations)"""
    return rows_with((), files)


FORMATS = {"shp": shp, "sib200": sib200, "paradetox": paradetox, "plain": plain}
