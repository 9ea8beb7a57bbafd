# %% [markdown]
# # DIAL in the plane: an hour in class
# A *reward model* gives each response a number, its reward. The response with the larger reward is
# preferred. Here a response is a point in the plane, and a small network replaces the language
# model. The method is dial.py's own code; equation numbers are those of Wu and Choudhury (2025).
# %%
import copy
import torch
from mlp import METHODS, ToyModel, report  # comes first, because it sets the path
import two_moons
from bound import preference_error, wasserstein_1
from dial import (Critic, DialConfig, RewardModel, bradley_terry_loss, descend, dial_step,
                  gradient_penalty, make_optimizers, preference_step, train, wasserstein_distance)
from pictures import draw_moons, draw_pairs, draw_plane, keep, panels
torch.manual_seed(0)  # the same random numbers every time
SETTINGS = DialConfig(steps=300, learning_rate=3e-3, lambda_da=1.0, critic_learning_rate=3e-3)
# %% [markdown]
# ## (a) Two domains
# Every response has a quality, which no model sees. A model sees two numbers: the *content*, which
# is quality plus noise, and the *style*. In the *source*, the domain with labels, style is quality
# plus less noise. In the *target*, which has no labels, style is about 2, whatever the quality.
# > **Predict:** a model learns from source pairs which one is better. Which number will it use?
# %%
def sample(n, shortcut):
    """Draw n pairs of responses (content, style), the better response first: (n, 2, 2)."""
    quality, noise = torch.randn(n, 2).sort(dim=1, descending=True).values, torch.randn(2, n, 2)
    style = quality + 0.1 * noise[0] if shortcut else 2 + 0.5 * noise[0]
    return torch.stack([quality + 0.4 * noise[1], style], dim=-1)

source, target = sample(1000, True), sample(1000, False)
for ax, pairs, name in zip(panels(2), (source, target), ("source", "target (labels unseen)")):
    draw_plane(ax, name, *pairs[:150].unbind(dim=1), names=("better", "worse"))
keep("a")
# %% [markdown]
# ## (b) Bradley–Terry alone
# *Src-Pref*, the baseline, is a reward model trained on the labelled source alone. Its loss, eq.
# (5), is the mean of -log σ(reward of the better - reward of the worse), σ(z) = 1 / (1 + e^-z).
# *Accuracy* is the fraction of pairs whose better response has the larger reward; .5 is guessing.
# > **Predict:** in which direction will the reward rise? What is the accuracy in each domain?
# %%
def batches(n=64):
    while True:  # n pairs of the source, then n of the target, whose order is unused
        points = torch.cat([sample(n, True), sample(n, False)]).view(-1, 2)  # (4 n, 2)
        yield {"points": points, "n_source": 2 * n,
               "chosen": torch.arange(0, 2 * n, 2), "rejected": torch.arange(1, 2 * n, 2)}
model = ToyModel(2, 32, 2)  # response (2) -> 32 hidden units -> embedding (2) -> reward
train(model, Critic(2), batches(), SETTINGS, step=preference_step)  # this step uses no critic
report("Src-Pref", model, source, target)
x, y = source[:150].view(-1, 2), target[:150].view(-1, 2)  # (300, 2) each
draw_plane(*panels(1), "reward of Src-Pref (dark: large)", x, y, model)
keep("b")
# %% [markdown]
# Src-Pref leans on style, the less noisy clue in the source. In the target style says nothing.
# ## (c) A critic
# *W1* is the smallest mean distance by which one domain's points must move to become the other's.
# A *critic* is a network that gives the source high and the target low values. *W*, eq. (2), is
# its mean over the source minus its mean over the target: at most W1 if the critic's slope (its
# gradient's length) is nowhere above 1. Training maximises W - λ_gp · mean (slope - 1)², eq. (4).
# > **Predict:** what will the critic do if λ_gp is small, and what will that do to W?
# %%
exact, slopes = wasserstein_1(x, y), {}
for ax, lambda_gp in zip(panels(3), (1, 10, 100)):
    critic = Critic(2, (64, 32))
    _, optimizer = make_optimizers(critic, critic, SETTINGS)  # the first, a model's, is not used
    for _ in range(SETTINGS.steps):
        penalty, slopes[lambda_gp] = gradient_penalty(critic, x, y)  # eq. (3)
        distance = wasserstein_distance(critic, x, y)  # eq. (2)
        descend(lambda_gp * penalty - distance, optimizer)
    title = f"λ_gp {lambda_gp}: W {distance:.2f}, slope {slopes[lambda_gp]:.2f}"
    print(f"{title}, W / slope {distance / slopes[lambda_gp]:.2f}; exact W1 {exact:.2f}")
    draw_plane(ax, title, x, y, critic)
keep("c")
# %% [markdown]
# A small λ_gp makes a steep critic cheap, and W is far above W1. W / slope is less far.
# ## (d) A step of DIAL by hand
# *DIAL* minimises Src-Pref's loss + λ_da · W, now between the domains' *embeddings*, the model's
# last layer before the reward. The critic learns first, while embeddings are fixed; then the model
# takes a step. The first cell takes one on (b)'s model, with the lines of `dial_step`; the second
# calls `dial_step` 300 times more.
# > **Predict:** how will the contours run in the end? What happens to the accuracy in the source?
# %%
stream, critic, before = batches(), Critic(2, (64, 32)), copy.deepcopy(model)
optimizer, critic_optimizer = make_optimizers(model, critic, SETTINGS)
batch = next(stream)
emb = model.embed(batch)  # (256, 2)
source_emb, target_emb = emb.tensor_split([batch["n_source"]])  # (128, 2) each
for _ in range(SETTINGS.critic_steps):
    penalty, slope = gradient_penalty(critic, source_emb.detach(), target_emb.detach())  # eq. (3)
    distance = wasserstein_distance(critic, source_emb.detach(), target_emb.detach())  # eq. (2)
    descend(SETTINGS.lambda_gp * penalty - distance, critic_optimizer)  # eq. (4), max
rewards = model.reward_head(source_emb).squeeze(-1)  # (128,)
source_loss = bradley_terry_loss(rewards[batch["chosen"]], rewards[batch["rejected"]])  # eq. (5)
domain_loss = wasserstein_distance(critic, source_emb, target_emb)
norm = descend(source_loss + SETTINGS.lambda_da * domain_loss, optimizer, SETTINGS.clip)  # min
# %%
for _ in range(SETTINGS.steps):
    dial_step(model, critic, optimizer, critic_optimizer, next(stream), SETTINGS)
report("DIAL", model, source, target)
axes = panels(2, 2)
for name, which, left, right in ("before", before, *axes[:2]), ("after", model, *axes[2:]):
    draw_plane(left, f"reward {name}", x, y, which)
    a, b = which.layers(x).detach(), which.layers(y).detach()
    draw_plane(right, f"embeddings {name}: W1 {wasserstein_1(a, b):.2f}", a, b, embeddings=True)
keep("d")
# %% [markdown]
# Style told the domains apart. In the target DIAL leans on content; the source's accuracy falls.
# ## (e) Where the labels lie
# Points of the second *moon* are better than points of the first. The source is ten labelled
# points (large), the target 500 points. Half of each is on each moon, so matching the domains
# pushes the model to call half of the target *second* (blue), whichever half. Labels are *uneven*
# (all along one moon, at an end of the other) or in the *middle*. Crosses are wrong.
# > **Predict:** in which of the two cases will DIAL be better than Src-Pref?
# %%
runs = {(place, name): two_moons.fit(step, 1, place)[-1][1]  # its last look; seed 1
        for place in two_moons.LABELS_AT for name, step in METHODS.items()}
for ax, ((place, name), run) in zip(panels(2, 2), runs.items()):
    draw_moons(ax, f"{place}, {name}", **run)
keep("e")
# %% [markdown]
# With uneven labels Src-Pref calls too few points second, and matching corrects that. With labels
# in the middle it calls about half second already, and yet matching moves the boundary.
# ## (f) The theorem
# The *error* is the mean of σ(reward of the worse - reward of the better). Theorem 2.1, eq. (7),
# says: target error ≤ source error + K/2 · W1 of the domains' *responses*, with K the largest
# slope. Responses lie on a line here, a and d at one place; the reward is the place, so K = 1.
# > **Predict:** the domains pair the same four responses differently. W1? Do the errors differ?
# %%
rewards, errors = torch.tensor([1.0, 0.0, 2.0, 1.0]), {}  # a, b, c, d: truly best to worst
domains = {"source": torch.tensor([[0, 1], [2, 3]]),  # a is better than b, c better than d
           "target": torch.tensor([[0, 2], [1, 3]])}  # a is better than c, b better than d
for ax, (name, pairs) in zip(panels(2), domains.items()):
    errors[name] = preference_error(*rewards[pairs].T).item()
    draw_pairs(ax, f"{name}: error {errors[name]:.2f}", rewards, pairs)
print("W1:", wasserstein_1(*(rewards[pairs].view(-1, 1) for pairs in domains.values())))
keep("f")
# %% [markdown]
# W1 is 0, but the error goes from .27 to .73: the theorem is false. Who is paired matters, too.
# ## (g) From points to texts
# A language model turns a prompt and a response into an embedding of many numbers. `train` takes
# `dial_step` unless told otherwise. A prompt lists foods; the odd one out is the better response.
# > **Predict:** a reward for "not a dessert" is right in the source. What would the critic notice?
# %%
from data import Preference, Unlabeled, encode, training_batches
from models.backbones import load
classifier, tokenizer, options = load("tiny", "cpu", "float32")  # untrained; try "gemma-3-270m"
desserts = encode([Preference("Waffle, Leek, Flan", "Leek", ("Waffle", "Flan"))], tokenizer, 100)
fruits = encode([Unlabeled("Apple, Leek, Ume", ("Apple", "Leek", "Ume"))], tokenizer, 100)
texts = DialConfig(steps=5, learning_rate=1e-3, scale_embeddings=True)
model = RewardModel(classifier, texts)
stream = training_batches([desserts], fruits, 1, texts.steps, **options)
print(train(model, Critic(model.reward_head.in_features), stream, texts)[-1])
