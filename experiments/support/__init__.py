"""What the commands in experiments/ share. Importing it puts the project's folder on the path."""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
