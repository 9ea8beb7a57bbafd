"""Typos, slang and the like: clean text becomes hasty text of the same content."""
import re

SLANG = {"because": "cuz", "you": "u", "your": "ur", "are": "r", "people": "ppl", "with": "w/",
         "without": "w/o", "really": "rly", "going to": "gonna", "want to": "wanna", "about": "abt",
         "before": "b4", "great": "gr8", "today": "2day", "though": "tho", "through": "thru",
         "should": "shd", "please": "plz", "and": "n", "them": "em", "something": "smth",
         "probably": "prolly", "their": "thier", "there": "ther", "every": "evry", "never": "nvr"}
NOISE = 0.15  # chance of a typo in a word, and twice that of an emoji in a sentence
EMOJI = "😀😂🙄🤔👍🙏😅🔥💯😬"


def add_noise(text, rng):
    """Write a text as in a hurry on a phone; nothing else about it changes.

    A word of SLANG is replaced half of the time, and half of the time each a sentence loses its
    capitals and its punctuation. rng: a random.Random.
    """
    noisy = []
    for sentence in re.split(r"(?<=[.!?]) +", text):
        for word, short in SLANG.items():
            if rng.random() < 0.5:
                sentence = re.sub(rf"\b{word}\b", short, sentence, flags=re.IGNORECASE)
        sentence = " ".join(_typo(word, rng) if rng.random() < NOISE else word
                            for word in sentence.split(" "))
        if rng.random() < 0.5:
            sentence = sentence.lower()
        if rng.random() < 0.5:
            sentence = re.sub(r"[.,;:!?']", "", sentence)
        if rng.random() < NOISE / 2:
            sentence += " " + rng.choice(EMOJI)
        noisy.append(sentence)
    return " ".join(noisy)


def _typo(word, rng):
    """Swap two neighbouring letters, or drop or double one; short words stay."""
    if len(word) < 4:
        return word
    i = rng.randrange(1, len(word) - 1)
    return rng.choice([word[:i] + word[i + 1] + word[i] + word[i + 2:],
                       word[:i] + word[i + 1:], word[:i] + word[i] + word[i:]])
