"""What the commands in experiments/ share. Importing it puts the project's folder on the path.

From a command to the loss: cli.parse -> runs.plan -> runs.run_jobs -> trainer.Trainer.run ->
training.Run.train -> dial.train -> a step of methods.METHODS, and back to report.report. Of one
command alone are rlhf_start, rlhf, rlhf_report, policy, ppo, judge (rlhf_shift.py), peers, meter
(benchmark.py, growth.py), rewriting (prepare.py; it generates for others, too).
"""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
