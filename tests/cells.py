"""How the tables of experiments/results/README.md write numbers."""
import re
from statistics import fmean

from test_results import error, p_value


def three(x, sign=""):
    text = f"{x:{sign}.3f}"
    return re.sub(r"^([+-]?)0\.", r"\1.", text)


def mean(values, sign=""):
    values = list(values.values() if isinstance(values, dict) else values)
    return f"{three(fmean(values), sign)} ± {three(error(values))}"


def short(p):
    """Two significant digits."""
    return "<.0001" if p < 1e-4 else "1" if p > 0.995 else f"{p:#.2g}".lstrip("0")


def line(*cells):
    return "|" + "".join(f" {c} |" if c != "" else " |" for c in cells)


def verdict(p, gains, otherwise="no gain found"):
    return "established" if p < 0.05 and len(gains) > 4 and fmean(gains) > 0 else otherwise


def judged(gains, corrected=None):
    p = p_value(gains)
    cells = mean(gains, "+"), len(gains), short(p)
    if corrected is None:
        return *cells, verdict(p, gains)
    return *cells, short(corrected), verdict(corrected, gains, "not established")
