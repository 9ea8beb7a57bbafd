"""What benchmark.py measures. Open peers.py first: one training step each of ours, the authors'
recipe and TRL; meter.py has the clock and the counting of memory and operations."""
