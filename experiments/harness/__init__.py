"""What every command shares: its flags, its runs, and what it prints, writes and draws.

Open runs.py first: for each seed, for each method, it trains, measures and keeps. flags.py has the
flags that it reads, report.py what comes after. Importing this package puts the project's folder on
Python's path, so that commands find dial.py and data.py.
"""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
