"""What prepare.py and rlhf_shift.py read: public formats. Open formats.py first."""
