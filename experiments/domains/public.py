"""The formats that prepare.py reads: each takes files and yields (group, record), the record in the
plain form, and by groups (a prompt, a topic) a data set is split."""
import csv
import random
import sys
import xml.etree.ElementTree as ElementTree

import data
from data import InputError

from domains.arguments import neighbouring_pairs


def unquoted(file, *columns):
    """The rows of a tab-separated file in which quotation marks mean nothing."""
    return data.read_table(file, "\t", columns, csv.QUOTE_NONE)


def sib200(files):
    rows = [row for file in files for _, row in unquoted(file, "category", "text")]
    topics = sorted({row["category"] for row in rows})
    for row in rows:
        yield row["text"], {"prompt": f"{row['text']}\nThe topic of this text is:",
                            "chosen": row["category"],
                            "rejected": [t for t in topics if t != row["category"]]}


def copa(files):
    asks = {"cause": "What was the cause of this?", "effect": "What happened as a result?"}
    for file in files:
        for where, item in copa_xml(file) if file.suffix == ".xml" else data.read_rows(file):
            try:
                prompt = f"{item['premise']}\n{asks[item['question']]}"
                choices = [item["choice1"], item["choice2"]]
                chosen, rejected = {0: choices, 1: choices[::-1]}[item["label"]]
            except (KeyError, TypeError) as error:
                raise InputError(f"{where}: not as in COPA or XCOPA: {error}") from None
            yield item["premise"], {"prompt": prompt, "chosen": chosen, "rejected": rejected}


def copa_xml(file):
    """The items of COPA's own file, named as in XCOPA."""
    try:
        root = ElementTree.fromstring(data.read_text(file))
    except ElementTree.ParseError as error:
        raise InputError(f"{file}: not valid XML: {error}") from None
    labels = {"1": 0, "2": 1}
    for i, item in enumerate(root.iter("item"), 1):
        yield f"{file}: item {i}", {
            "premise": item.findtext("p"), "choice1": item.findtext("a1"),
            "choice2": item.findtext("a2"), "question": item.get("asks-for"),
            "label": labels.get(item.get("most-plausible-alternative"))}


def paradetox(files):
    for file in files:
        for _, row in data.read_table(file, "\t", ("toxic", "neutral1")):
            yield row["toxic"], {"prompt": "Which of these comments is civil?",
                                 "chosen": row["neutral1"], "rejected": row["toxic"]}


def xstest(files):
    """Each prompt's full compliances against its full refusals, over all models' completions."""
    answers = {}
    for file in files:
        columns = ("prompt", "completion", "type", "final_label")
        for _, row in data.read_table(file, ",", columns):
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
        for where, row in unquoted(file, "label", "a1", "a2"):
            if row["label"] not in ("a1", "a2"):
                raise InputError(f"{where}: 'label' must be a1 or a2, not {row['label']!r}")
            other = "a2" if row["label"] == "a1" else "a1"
            yield topic, {"prompt": prompt, "chosen": row[row["label"]], "rejected": row[other]}


def ukp_ranks(folders):
    for topic, prompt, file in ukp_files(folders):
        for where, row in unquoted(file, "rank", "argument"):
            try:
                score = -float(row["rank"])
            except ValueError:
                raise InputError(f"{where}: 'rank' must be a number, not {row['rank']!r}") from None
            yield topic, {"prompt": prompt, "response": row["argument"], "score": score}


def scores(files):
    """Neighbouring levels, as many pairs as texts; a prompt of one level makes none."""
    for file in files:
        rows, values = data.load_test(file)
        by_prompt = {}
        for row, score in zip(rows, values):
            by_prompt.setdefault(row.prompt, []).append((row.responses[0], score))
        for prompt, found in by_prompt.items():
            texts, levels = zip(*found)
            if len(set(levels)) < 2:
                print(f"{file}: all texts of one score, no pairs: {prompt[:60]!r}", file=sys.stderr)
                continue
            for pair in neighbouring_pairs(texts, levels, prompt, len(texts),
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
