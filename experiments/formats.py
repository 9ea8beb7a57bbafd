"""The formats that prepare.py reads: each takes files and yields (group, record), the record in the
plain form, and by groups (a prompt, a topic) a data set is split."""
import csv
import random
import sys
import xml.etree.ElementTree as ElementTree

import data
from data import InputError


def table(path, delimiter, *columns, quotes=False):
    """The rows of a file with a header line, each as (where it stands, dictionary).

    Args:
        columns: that must be there. quotes: a field in quotation marks may hold line breaks.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as f:
            quoting = csv.QUOTE_MINIMAL if quotes else csv.QUOTE_NONE
            rows = csv.DictReader(f, delimiter=delimiter, quoting=quoting)
            if missing := [c for c in columns if c not in (rows.fieldnames or ())]:
                raise InputError(f"{path}: no column '{missing[0]}'; there are: "
                                 f"{', '.join(rows.fieldnames or ['none'])}")
            found = [(f"{path}:{rows.line_num}", row) for row in rows]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as UTF-8 text: {error}") from None
    for where, row in found:
        if any(row[c] is None for c in columns):
            raise InputError(f"{where}: not as many columns as in the first line")
    return found


def sib200(files):
    rows = [row for file in files for _, row in table(file, "\t", "category", "text")]
    topics = sorted({row["category"] for row in rows})
    for row in rows:
        yield row["text"], {"prompt": f"{row['text']}\nThe topic of this text is:",
                            "chosen": row["category"],
                            "rejected": [t for t in topics if t != row["category"]]}


def copa(files):
    asks = {"cause": "What was the cause of this?", "effect": "What happened as a result?"}
    for file in files:
        if file.suffix == ".xml":
            items = [{"premise": item.findtext("p"), "choice1": item.findtext("a1"),
                      "choice2": item.findtext("a2"), "question": item.get("asks-for"),
                      "label": int(item.get("most-plausible-alternative")) - 1}
                     for item in ElementTree.parse(file).getroot().iter("item")]
        else:
            items = [row for _, row in data.read_rows(file)]
        for item in items:
            choices = [item["choice1"], item["choice2"]]
            yield item["premise"], {"prompt": f"{item['premise']}\n{asks[item['question']]}",
                                    "chosen": choices[item["label"]],
                                    "rejected": choices[1 - item["label"]]}


def paradetox(files):
    for file in files:
        for _, row in table(file, "\t", "toxic", "neutral1", quotes=True):
            yield row["toxic"], {"prompt": "Which of these comments is civil?",
                                 "chosen": row["neutral1"], "rejected": row["toxic"]}


def xstest(files):
    """Each prompt's full compliances against its full refusals, over all models' completions."""
    answers = {}
    for file in files:
        for _, row in table(file, ",", "prompt", "completion", "type", "final_label",
                            quotes=True):
            kinds = answers.setdefault((row["prompt"], row["type"].startswith("contrast")), {})
            if row["completion"].strip():
                kinds.setdefault(row["final_label"], []).append(row["completion"].strip())
    for (prompt, unsafe), kinds in answers.items():
        comply, refuse = (kinds.get(k, []) for k in ("1_full_compliance", "2_full_refusal"))
        for yes, no in zip(comply, refuse):
            chosen, rejected = (no, yes) if unsafe else (yes, no)
            yield prompt, {"prompt": prompt, "chosen": chosen, "rejected": rejected}


def ukp_files(folders):
    """The files of a folder as (topic, prompt, path): topic_side.csv."""
    for folder in folders:
        for file in sorted(folder.glob("*.csv")) if folder.is_dir() else [folder]:
            topic, _, side = file.stem.partition("_")
            topic, side = (part.replace("-", " ").strip() for part in (topic, side))
            yield topic, f"{topic}: {side}. How convincing is this?", file


def ukp(folders):
    for topic, prompt, file in ukp_files(folders):
        for where, row in table(file, "\t", "label", "a1", "a2"):
            if row["label"] not in ("a1", "a2"):
                raise InputError(f"{where}: 'label' must be a1 or a2, not {row['label']!r}")
            other = "a2" if row["label"] == "a1" else "a1"
            yield topic, {"prompt": prompt, "chosen": row[row["label"]], "rejected": row[other]}


def ukp_ranks(folders):
    for topic, prompt, file in ukp_files(folders):
        for _, row in table(file, "\t", "rank", "argument"):
            yield topic, {"prompt": prompt, "response": row["argument"],
                          "score": -float(row["rank"])}


def scores(files):
    """Neighbouring levels, as many pairs as texts; a prompt of one level makes none."""
    for file in files:
        rows, values = data.load_scored(file)
        by_prompt = {}
        for row, score in zip(rows, values):
            by_prompt.setdefault(row.prompt, []).append((row.responses[0], score))
        for prompt, found in by_prompt.items():
            texts, levels = zip(*found)
            if len(set(levels)) < 2:
                print(f"{file}: all texts of one score, no pairs: {prompt[:60]!r}", file=sys.stderr)
                continue
            for pair in data.neighbouring_pairs(texts, levels, prompt, len(texts),
                                                random.Random(0)):
                yield prompt, as_record(pair)


def plain(files):
    for file in files:
        for where, row in data.read_rows(file):
            kind = data.kind_of(row)
            if kind == "scored":
                found, score = data.read_scored(row, where)
                record = {"prompt": found.prompt, "response": found.responses[0], "score": score}
            elif kind == "unlabeled":
                found = data.read_unlabeled(row, where)
                record = {"prompt": found.prompt, "responses": list(found.responses)}
            else:
                found = data.read_preference(row, where, allow_empty=True)
                record = as_record(found)
            yield found.prompt, record


def as_record(row):
    rejected = row.rejected[0] if len(row.rejected) == 1 else list(row.rejected)
    return {"prompt": row.prompt, "chosen": row.chosen, "rejected": rejected}


FORMATS = {"sib200": sib200, "copa": copa, "paradetox": paradetox, "xstest": xstest, "ukp": ukp,
           "ukp-ranks": ukp_ranks, "scores": scores, "plain": plain}
