"""The paper's numbers, typed from its tables, by method and pair of domains."""
import re
import statistics

from support import paper_files


def typed(text):
    """{name: [(mean, standard error or None), ...]} of lines of a name and cells, two blanks or
    more apart; the cells of lines with the same name are put together."""
    table = {}
    for line in text.strip().split("\n"):
        name, *cells = re.split(r" {2,}", line)
        table.setdefault(name, []).extend((*map(float, cell.split("±")), None)[:2]
                                          for cell in cells)
    return table


def published(args, runs, table, cells=(), metrics=("accuracy",)):
    """The paper's numbers as `report` takes them; of one's own data there are none.

    Args:
        runs: whose pairs of domains are given the mean over all cells, which has no standard error.
        table: of `typed`; a cell has a number for each of the metrics.
        cells: the pair of names of each cell instead, in the table's order; --paper has its own.
    Returns:
        (mean, standard error or None) by (method, source, target, metric).
    """
    if getattr(args, "source_data", None) or getattr(args, "data", None):
        return {}
    cells = paper_files.cells(args) or cells
    pairs = () if cells else {(r["source"], r["target"]) for run in runs for r in run["results"]}
    numbers, n = {}, len(metrics)
    for method, values in table.items():
        for j, metric in enumerate(metrics):
            own = values[j::n]
            mean = statistics.fmean(value for value, _ in own), None
            numbers |= {(method, *pair, metric): mean for pair in pairs}
            numbers |= {(name, *pair, metric): value for pair, value in zip(cells, own)
                        for name in (method, best(method))}
    return numbers


def best(method):
    """What the rows of a method's best snapshot on target validation are called, an oracle's."""
    return f"{method.rstrip('*')}, best*"
