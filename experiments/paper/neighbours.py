"""--paper of meta_reward.py and pair_selection.py: the setup of another paper beside ours, a table
of experiments/README.md."""
from itertools import takewhile
from pathlib import Path

from data import InputError
from harness.tables import print_columns

README = Path(__file__).parents[1] / "README.md"


def show(args, name):
    """Print the table headed "NAME's paper". Raises InputError without --dry-run."""
    if not args.dry_run:
        raise InputError(f"--paper: {name}'s models and data cannot be run here; add --dry-run to "
                         "see them")
    lines = README.read_text(encoding="utf-8").splitlines()
    start = lines.index(f"| | {name}'s paper | here |")
    table = takewhile(lambda line: line.startswith("|"), lines[start:])
    print(f"{name}'s setup, which cannot be run here, and ours")
    print_columns([[cell.strip() for cell in line.strip("|").split("|")]
                   for line in table if not line.startswith("| ---")])
