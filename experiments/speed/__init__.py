"""What benchmark.py measures. Open peers.py first: one training step each of ours, the authors'
recipe and TRL; meter.py makes random records, and measures time and memory."""
