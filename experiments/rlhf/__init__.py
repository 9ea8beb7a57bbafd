"""RLHF under distribution shift, for rlhf_shift.py. Open arms.py first: an arm, epoch by epoch.

start.py has what all arms begin with, policy.py the policy, ppo.py its loss, requests.py the
prompts and what a right response is, report.py the table and Figure 6.
"""
