"""What every command shares: its flags, its runs, and what it prints, writes and draws.

Open runs.py first: for each seed, for each method, it trains, measures and keeps. flags.py has the
flags that it reads, report.py what comes after. Importing this package puts the project's folder on
Python's path, so that commands find dial.py and data.py, and makes an interrupt one line, while
other packages are still being imported, too.
"""
import sys
from pathlib import Path


def end(kind, error, traceback):
    """What Python calls for an exception that nobody catches."""
    if kind is KeyboardInterrupt:
        print("stopped", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, traceback)


sys.excepthook = end

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
