"""The methods that are compared. Open table.py first: it says what each learns from and reads.

DIAL and Src-Pref are steps of dial.py; baselines.py has the other trained methods, matching.py
DIAL without a critic, untrained.py what takes no training. losses.py has the losses of policies.
"""
