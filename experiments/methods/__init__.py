"""The methods that are compared. Open table.py first: it says what each learns from and reads.

DIAL and Src-Pref are steps of dial.py; baselines.py has the other trained methods, matching.py
DIAL without a critic, untrained.py what takes no training. losses.py has the losses of policies.
For meta_reward.py (OODPL) and pair_selection.py (REAL): frozen.py is their policy, bilevel.py the
two loops of OODPL, meta.py what it is compared with; selection.py picks pairs and trains on them.
"""
