"""The setups of two neighbouring papers beside ours, for --paper --dry-run: meta_reward.py's and
pair_selection.py's. Neither can be run here."""
from harness.tables import print_columns

OODPL = (  # its section 3.5 and appendix E
    ("", "the paper", "here"),
    ("policy", "Flan-T5 XXL (11 B), LoRA and the output layer", "Gemma-3-270M, frozen, low-rank "
     "change of the output layer"),
    ("reward", "Flan-T5 XXL, LoRA and a value head", "linear in a frozen state"),
    ("domains", "Amazon reviews, one of 4 left out; SHP, 3 of 18", "foods, one of 5 left out"),
    ("texts, preferences", "1,000 and 500 (reviews); 2,706 to 57,096 and 113 to 3,154 (SHP)",
     "60 lists, 240 pairs"),
    ("baseline", "PPO with a Bradley-Terry reward", "a fit to the texts that this reward weighs"),
    ("measure", "share of pairs (23), a reward's and GPT-4's judgement", "share of pairs (23)"),
    ("alpha, beta, D", "from ranges; our copy of the paper has lost them", "1, 2, 5"))

REAL = (  # its sections 4.1 to 4.3, appendices B and D
    ("", "the paper", "here"),
    ("models", "Phi-1.5, Pythia 2.8B, Llama 2 7B", "Gemma-3-270M, frozen, low-rank change of the "
     "output layer"),
    ("data", "SHP2, 3 responses a prompt; HH, one pair", "arguments of known flaws, 3 answers"),
    ("pairs to train on", "11k (SHP2), 21k and 22k (HH)", "60"),
    ("pairs to test on", "1.9k, 1.5k, 1.5k", "40, labelled without error"),
    ("SFT", "on chosen responses of a third of the data", "on those of the random pairs, 3 epochs"),
    ("training", "one epoch of DPO, batches of 64, 32, 16", "one epoch of DPO, batches of 8"),
    ("annotator", "votes of readers; GPT-4 for agreement", "right with probability "
     "sigmoid(tau * difference)"),
    ("beta, rate", "not stated", "0.1, 0.003, hardly searched"))


# Its Table 3: win rates by GPT-4's judgement, mean of six held-out splits of SHP. (Its accuracies on
# pairs are in a figure.) "BT + fit" stands for its PPO (te).
WIN_RATES = {"SFT": 0.551, "DPO": 0.566, "HPL": 0.542, "BT + fit": 0.603, "OODPL": 0.669}
MARGINS = {"hard": 0.78, "random": 1.18, "easy": 1.22, "centroid": 1.41}  # Table 1, Phi-1.5


def show(rows):
    """Print a table of the above, or what would be run: rows of texts."""
    if rows in (OODPL, REAL):
        print("the paper's setup, which cannot be run here, and ours")
    print_columns(list(rows))
