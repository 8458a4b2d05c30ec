# %% [markdown] assignment="a11_constitutional_ai" title="Constitutional AI: principles instead of labels" module="constitutional_ai" requires="torch, torch._dynamo, common.tiny_lm, common.preferences" summary="Let a model criticise, revise and judge answers by written principles, and keep the judge's habits out of the data." forbidden="trl, peft, bitsandbytes, unsloth, common.preferences.reward_model, common.tiny_lm.pretrained, common.tiny_lm.load_weights, common.reviews"
# # Constitutional AI: principles instead of labels
#
# Ten thousand people who read unpleasant texts and press buttons are expensive, and nobody can read off their clicks what they went by. Bai and
# others (2022) wrote it down instead: some sentences in plain English, the *constitution*. A model criticises its own answers by them and writes better ones;
# that is the first stage, supervised learning. Then the model *judges* pairs of answers by them; that is the second, learning from AI feedback.
#
# There is hardly any mathematics in it. It is plumbing: texts go into prompts, answers are cut out of texts, and every leak puts something
# into the training data that you did not mean. So today is about being exact.
#
# You write seven things, in this order:
#
# 1. `critique_prompt`: a template, filled exactly
# 2. `revise`: criticise, then write again
# 3. `critique_revision_loop`: several rounds, a principle for each
# 4. `ai_preference`: a judge whose love of the first place cancels
# 5. `build_sl_dataset`: what the first stage trains on
# 6. `build_preference_dataset`: what the second stage trains on
# 7. `train_ai_reward_model`: a reward model from doubtful labels
#
# **You need** [the reward models](../../docs/learn/a09_reward_model.md). The [reading page](../../docs/learn/a11_constitutional_ai.md) says what to read.
#
# ```
# autograder check a11                  # all tasks: what holds, what to mend first
# autograder check a11.ai_preference    # one task
# autograder hint a11.ai_preference     # the next of its three hints
# ```
#
# ## What is given
#
# A **language model** here is any object with two methods: `generate(prompt, generator=None)` returns a text, `log_probs(prompt, options)` a list with the
# log-probability of each option as what comes next. The tests use a scripted one, which writes down everything that it is asked.
#
# A **principle** is a dictionary with four texts, `"id"`, `"critique"`, `"revision"` and `"preference"`; a **constitution** is a list of them. The
# templates stand below, in the file. For the last task: `TinyLM` and `RewardModel(lm, ShippedHead(d_model))` in `assignments/common/`; the head reads the last
# real token, as yours did in a09.
#
# ## What we keep of the paper, and what we leave out
#
# Kept: critique, revision and a principle drawn anew for each round (section 3.1); the judge as a choice between two letters, its chances as *soft* labels, clamped to 40–60%
# as the paper does where the judge reasons first (section 4.1); a reward model trained on them (section 4.2).
#
# Left out: few-shot examples in the prompts, chain of thought before the choice, and the reinforcement learning at the end, which is that of a10. Asking in both orders is not in the paper; it is what everybody has done since
# it became known how much judges love the first place (Zheng et al., 2023).
#
# ## Convention card
#
# | question | our answer | who differs |
# |---|---|---|
# | templates | to the letter, `\n` is a new line, no blank at the end | |
# | what a model writes | is **stripped** before it is used or kept | |
# | principles | one uniform draw for each round, and for each pair: `torch.randint(len(constitution), (1,), generator=generator)` | a draw from Python's `random` |
# | the judge's chance | softmax over the **two letters only** | probabilities over all words |
# | order | asked **both ways**, then averaged | the paper: once |
# | clamp | after averaging; `None` leaves the number as it is | |
# | labels | **soft**: P(a is better) | argmax |
# | random numbers | only from `generator`, which is also handed to the model | |
# | inputs | are never changed in place | |
# | bad input | is refused: raise `ValueError` and say what is wrong | |
#
# ## What you may not use, and why
#
# The large packages of this month, and the finished weights and rules in `common/`: the grader measures with them. All of torch is yours.
#
# ## What the tests look at
#
# Every text that reaches the scripted model, letter by letter, in number and in order; a judge with habits; records with leaks; and a reward model, by what it chooses.

# %%
from typing import Any

import torch
import torch.nn.functional as F
from common.preferences import RewardModel, ShippedHead
from common.tiny_lm import TinyLM
from torch import Tensor, nn

CRITIQUE = "Question:\n{prompt}\n\nAnswer:\n{response}\n\nCritique request: {critique}\n\nCritique:"
REVISION = " {critique_text}\n\nRevision request: {revision}\n\nRevision:"  # follows a filled CRITIQUE
PREFERENCE = "Question:\n{prompt}\n\nA: {first}\n\nB: {second}\n\n{preference}\nBetter answer:"

# %% [markdown] task="critique_prompt"
# ## `critique_prompt`: a template, filled exactly
#
# `CRITIQUE` with the prompt, the response and the principle's `"critique"` put in, each as it is: nothing stripped, nothing added.
# Texts may hold braces, percent signs and dollars, as code does, and these have to survive.
#
# **By hand.** Prompt "Hi", response "Go away", critique "Is it rude?": `"Question:\nHi\n\nAnswer:\nGo away\n\nCritique request: Is it rude?\n\nCritique:"`.


# %% task="critique_prompt" points=1 minutes=5
def critique_prompt(prompt: str, response: str, principle: dict[str, str]) -> str:
    """The text that asks for a critique of `response`: CRITIQUE, filled.

    Source: Bai et al. 2022, section 3.1; the wording of the template is ours.
    """
    ### BEGIN SOLUTION
    return CRITIQUE.format(prompt=prompt, response=response, critique=principle["critique"])
    ### END SOLUTION


# %% [markdown] hints="critique_prompt"
# 1. Which of the four texts of a principle asks for a critique?
# 2. `format` with names fills all places at once. Filling one after the other would look for places in what was just put in.
# 3. `CRITIQUE.format(prompt=prompt, response=response, critique=principle["critique"])`

# %% tests="critique_prompt"
import torch
from asks import (
    chances_after,
    judged,
    looped,
    pair_records,
    revised,
    several,
    train_twice,
)
from common import reviews
from common.preferences import RewardModel, ShippedHead
from common.tiny_lm import TinyLM, pretrained

from autograder.testing import graded_run, needs, task

POLITE = {"id": "polite", "critique": "Is it rude?", "revision": "Make it kind.", "preference": "Which is kinder?"}
SHORT = {"id": "short", "critique": "Is it long?", "revision": "Make it short.", "preference": "Which is shorter?"}
ASKED = "Question:\nHi\n\nAnswer:\nGo away\n\nCritique request: Is it rude?\n\nCritique:"
THEN = ASKED + " It is rude.\n\nRevision request: Make it kind.\n\nRevision:"


@task("critique_prompt")
def test_a_prompt_by_hand(student):
    """The template of the handout, filled."""
    student.ask(several, "critique_prompt", [["Hi", "Go away", POLITE]]).equals([ASKED])


@task("critique_prompt")
def test_braces_survive(student):
    """A prompt that holds braces, and even the name of a place, is put in as it is."""
    asked = "Question:\nf({response})\n\nAnswer:\n{0} %s\n\nCritique request: Is it rude?\n\nCritique:"
    student.ask(several, "critique_prompt", [["f({response})", "{0} %s", POLITE]]).equals([asked])


# %% [markdown] task="revise"
# ## `revise`: criticise, then write again
#
# Two calls of `lm.generate`, each with the `generator`:
#
# 1. with the critique prompt: what comes back, stripped, is the critique
# 2. with the same prompt, followed by `REVISION` with that critique and the principle's `"revision"`: what comes back, stripped, is the revision
#
# Return `(critique, revision)`.
#
# **By hand.** For the example from above, and a model that writes "  It is rude.\n" and then " Hello! ", the second prompt ends in
# `"Critique: It is rude.\n\nRevision request: Make it kind.\n\nRevision:"`, and the answer is `("It is rude.", "Hello!")`.


# %% task="revise" points=2 minutes=10
def revise(
    lm: Any, prompt: str, response: str, principle: dict[str, str], generator: torch.Generator | None = None
) -> tuple[str, str]:
    """A critique of the response, and a response that answers it, both stripped.

    lm: has generate(prompt, generator). Source: Bai et al. 2022, section 3.1.
    """
    ### BEGIN SOLUTION
    asked = critique_prompt(prompt, response, principle)
    critique = lm.generate(asked, generator=generator).strip()
    asked += REVISION.format(critique_text=critique, revision=principle["revision"])
    return critique, lm.generate(asked, generator=generator).strip()
    ### END SOLUTION


# %% [markdown] hints="revise"
# 1. What does the model have to see so that its second text answers its first?
# 2. The second prompt is the first one, whole, with something behind it. When is the critique stripped: before or after it is put in?
# 3. `critique = lm.generate(asked, generator=generator).strip()`, then `asked + REVISION.format(critique_text=critique, revision=principle["revision"])`, and again.

# %% tests="revise"


@task("revise")
def test_two_calls_by_hand(student):
    """The model is asked twice, with these texts, and what it writes is stripped."""
    found = student.ask(revised, ["  It is rude.\n", " Hello! "], "Hi", "Go away", POLITE)
    found.equals({"answer": ["It is rude.", "Hello!"], "prompts": [ASKED, THEN], "generators": [True, True]})


# %% [markdown] task="critique_revision_loop"
# ## `critique_revision_loop`: several rounds
#
# First the model answers the plain `prompt`: `generate(prompt, generator)`, stripped. Then `rounds` times: draw a principle,
# `constitution[torch.randint(len(constitution), (1,), generator=generator)]`, and revise the answer **of the round before** by it. The draw comes before the two calls of its round.
#
# Return a dictionary: `"prompt"`, `"initial"`, `"principles"` (the ids, one a round), `"critiques"` and `"revisions"` (lists, one a round).
#
# Fewer than one round and an empty constitution are refused, before the model is asked anything.


# %% task="critique_revision_loop" points=3 minutes=20
def critique_revision_loop(
    lm: Any, prompt: str, constitution: list[dict[str, str]], rounds: int, generator: torch.Generator
) -> dict[str, Any]:
    """An answer and its revisions, each by a principle that is drawn for it.

    Returns prompt, initial, principles (ids), critiques, revisions. Raises ValueError for rounds < 1 and no principles.

    Source: Bai et al. 2022, section 3.1 and appendix C.
    """
    ### BEGIN SOLUTION
    if rounds < 1:
        raise ValueError(f"rounds is {rounds}: at least one is needed")
    if not constitution:
        raise ValueError("constitution is empty")
    response = lm.generate(prompt, generator=generator).strip()
    record: dict[str, Any] = {
        "prompt": prompt, "initial": response, "principles": [], "critiques": [], "revisions": [],
    }  # fmt: skip
    for _ in range(rounds):
        principle = constitution[int(torch.randint(len(constitution), (1,), generator=generator))]
        critique, response = revise(lm, prompt, response, principle, generator)
        record["principles"].append(principle["id"])
        record["critiques"].append(critique)
        record["revisions"].append(response)
    return record
    ### END SOLUTION


# %% [markdown] hints="critique_revision_loop"
# 1. Which answer is criticised in the second round?
# 2. One variable for the answer as it stands now: `revise` returns its next value. The draw stands inside of the loop.
# 3. `response = lm.generate(prompt, generator=generator).strip()`; in each round draw, `critique, response = revise(lm, prompt, response, principle, generator)`, and append id, critique and response.

# %% tests="critique_revision_loop"


@task("critique_revision_loop")
def test_two_rounds_with_one_principle(student):
    """The first answer is revised, and then the revision is."""
    found = student.ask(looped, ["Go away ", "It is rude.", "Leave.", "Still.", " Bye!"], "Hi", [POLITE], 2, 0).value
    assert found["record"] == {
        "prompt": "Hi", "initial": "Go away", "principles": ["polite", "polite"], "critiques": ["It is rude.", "Still."],
        "revisions": ["Leave.", "Bye!"],
    }, "The record is another."  # fmt: skip
    assert found["prompts"][0] == "Hi", "The first answer is asked for with the plain prompt."
    assert "Answer:\nLeave.\n" in found["prompts"][3], "The second round should criticise what the first one wrote."


@task("critique_revision_loop")
@needs("test_two_rounds_with_one_principle")
def test_no_rounds_and_no_principles(student):
    """No rounds, and no principles, are refused."""
    student.ask(looped, ["a"] * 5, "Hi", [POLITE], 0, 0).refused()
    student.ask(looped, ["a"] * 5, "Hi", [], 1, 0).refused()


# %% [markdown] task="ai_preference"
# ## `ai_preference`: a judge whose love of the first place cancels
#
# `PREFERENCE`, filled with the prompt, the answer in the first place, the one in the second and the principle's `"preference"`, is shown to the judge; `lm.log_probs(text, ["A", "B"])` are its log-probabilities of the two letters.
#
# - The chance of A is a softmax over these two: $p = 1/(1 + e^{\ell_B - \ell_A})$. What the judge would rather say, a third word, plays no part. Log-probabilities of −1,000 are no problem.
# - Ask **twice**: with `a` first, p(A) is the chance that a is better; with `b` first, "A" means b, so it is 1 − p(A). Return the mean of the two numbers.
# - Then clamp it to `clamp` = (low, high); `clamp=None` leaves it.
#
# A judge who always says A with 0.9, whatever stands there, gives (0.9 + 0.1)/2 = 0.5: nothing. And p(a, b) + p(b, a) = 1.
#
# **By hand.** a first: log-probabilities (−1, −2), so 0.731059; b first: (−3, −1), so p(A) = 0.119203 and 1 − p = 0.880797. The mean is 0.805928, clamped to 0.6.


# %% task="ai_preference" points=4 minutes=25
def ai_preference(
    lm: Any,
    prompt: str,
    a: str,
    b: str,
    principle: dict[str, str],
    clamp: tuple[float, float] | None = (0.4, 0.6),
) -> float:
    """P(a is better than b) by the judge lm, asked in both orders, averaged, then clamped.

    lm: has log_probs(prompt, options). Source: Bai et al. 2022, section 4.1; both orders: Zheng et al. 2023, section 3.4.
    """

    ### BEGIN SOLUTION
    def first_is_better(first: str, second: str) -> float:
        text = PREFERENCE.format(prompt=prompt, first=first, second=second, preference=principle["preference"])
        both = torch.tensor(lm.log_probs(text, ["A", "B"]), dtype=torch.float64)  # (2,)
        return both.softmax(0)[0].item()

    p = (first_is_better(a, b) + 1 - first_is_better(b, a)) / 2
    return p if clamp is None else min(max(p, clamp[0]), clamp[1])
    ### END SOLUTION


# %% [markdown] hints="ai_preference"
# 1. In the second question, which of the two answers is called "A"?
# 2. Write one small function: the chance that the answer in the *first* place is better. Call it twice, and think about what the second number says of a. Two exponentials of −1,000 are both 0: subtract before.
# 3. `p = (first(a, b) + 1 - first(b, a)) / 2`, with `first` a softmax over `lm.log_probs(text, ["A", "B"])`, of which the first entry; then `min(max(p, low), high)` unless clamp is None.

# %% tests="ai_preference"


@task("ai_preference")
def test_two_orders_by_hand(student):
    """(-1, -2) with a first and (-3, -1) with b first: 0.805928, and 0.6 after clamping."""
    answers = [[-1.0, -2.0], [-3.0, -1.0]]
    found = student.ask(judged, answers, "Hi", "x", "y", POLITE, [None, [0.4, 0.6]]).value
    assert abs(found["chances"][0] - 0.805928) < 1e-6, "The mean over both orders is another."
    assert found["chances"][1] == 0.6, "The clamp has another effect."
    first = "Question:\nHi\n\nA: x\n\nB: y\n\nWhich is kinder?\nBetter answer:"
    second = "Question:\nHi\n\nA: y\n\nB: x\n\nWhich is kinder?\nBetter answer:"
    assert found["asked"] == [first, second] * 2, "The judge should be asked in both orders, with the template's text."


@task("ai_preference")
def test_a_judge_who_loves_the_first_place(student):
    """Who says A with 0.9 whatever is asked has no opinion: 0.5; log-probabilities of -1,000 are no problem."""
    found = student.ask(judged, [[-1000.0, -1002.197225]] * 2, "Hi", "x", "y", POLITE, [None]).value
    assert abs(found["chances"][0] - 0.5) < 1e-9, "A judge's love of the first place should cancel."


# %% [markdown] task="build_sl_dataset"
# ## `build_sl_dataset`: what the first stage trains on
#
# `records` are what `critique_revision_loop` returned. For each of them one `{"prompt", "response"}`, in order, with the **last** revision. Left out are records
#
# - whose last revision is empty, and
# - whose last revision *quotes* one of its critiques: holds it as it is. (An empty critique is not quoted by anything.)
#
# A record without any revision is refused. Nothing else of a record gets into the dataset: what the model trains on is what it will say.


# %% task="build_sl_dataset" points=2 minutes=10
def build_sl_dataset(records: list[dict[str, Any]]) -> list[dict[str, str]]:
    """Prompts and the last revisions, without leaks. Raises ValueError for a record without revisions.

    Source: Bai et al. 2022, section 3.2.
    """
    ### BEGIN SOLUTION
    dataset = []
    for record in records:
        if not record["revisions"]:
            raise ValueError(f"the record of {record['prompt']!r} has no revisions")
        response = record["revisions"][-1]
        quotes = any(critique and critique in response for critique in record["critiques"])
        if response and not quotes:
            dataset.append({"prompt": record["prompt"], "response": response})
    return dataset
    ### END SOLUTION


# %% [markdown] hints="build_sl_dataset"
# 1. Which text of a record should the model learn to say?
# 2. Three questions for each record: does it have a revision at all; is the last one empty; does it hold one of the critiques? Mind that the empty text is in every text.
# 3. `response = record["revisions"][-1]`; `quotes = any(c and c in response for c in record["critiques"])`; keep it if `response and not quotes`.

# %% tests="build_sl_dataset"


def a_record(prompt="Hi", initial="Go away", critiques=("Rude.",), revisions=("Hello",)):
    return {
        "prompt": prompt, "initial": initial, "principles": ["polite"] * len(revisions), "critiques": list(critiques),
        "revisions": list(revisions),
    }  # fmt: skip


@task("build_sl_dataset")
def test_last_revisions_without_leaks(student):
    """Of four records two are left: one revision is empty, and one quotes its critique."""
    records = [
        a_record(critiques=("Rude.", "Long."), revisions=("Leave now", "Bye")),
        a_record(revisions=("",)),
        a_record(revisions=("Rude. So: hello",)),
        a_record(prompt="Ho", critiques=("",), revisions=("Hello",)),
    ]
    answer = [{"prompt": "Hi", "response": "Bye"}, {"prompt": "Ho", "response": "Hello"}]
    student.build_sl_dataset(records).equals(answer)


@task("build_sl_dataset")
@needs("test_last_revisions_without_leaks")
def test_a_record_without_revisions(student):
    """A record without a revision is refused."""
    student.build_sl_dataset([a_record(critiques=(), revisions=())]).refused()


# %% [markdown] task="build_preference_dataset"
# ## `build_preference_dataset`: what the second stage trains on
#
# For each prompt, in order:
#
# 1. `responder.generate(prompt, generator)` twice, stripped: a, then b
# 2. one draw of a principle, as in the loop (also where the next line throws the pair away)
# 3. if a and b are equal, the pair is left out, and the judge is not asked
# 4. `{"prompt", "a", "b", "p", "principle"}`: p is `ai_preference(lm, …)` with the given `clamp`, as it is; principle is its id
#
# The **responder** writes and `lm` judges: two objects, and they may be different models. An empty constitution is refused.


# %% task="build_preference_dataset" points=3 minutes=15
def build_preference_dataset(
    lm: Any,
    responder: Any,
    prompts: list[str],
    constitution: list[dict[str, str]],
    generator: torch.Generator,
    clamp: tuple[float, float] | None = (0.4, 0.6),
) -> list[dict[str, Any]]:
    """Pairs of the responder's answers with the chance that the first is better, as lm judges it by a drawn principle.

    Raises ValueError for no principles. Source: Bai et al. 2022, section 4.1.
    """
    ### BEGIN SOLUTION
    if not constitution:
        raise ValueError("constitution is empty")
    dataset = []
    for prompt in prompts:
        a, b = (responder.generate(prompt, generator=generator).strip() for _ in range(2))
        principle = constitution[int(torch.randint(len(constitution), (1,), generator=generator))]
        if a != b:
            p = ai_preference(lm, prompt, a, b, principle, clamp)
            dataset.append({"prompt": prompt, "a": a, "b": b, "p": p, "principle": principle["id"]})
    return dataset
    ### END SOLUTION


# %% [markdown] hints="build_preference_dataset"
# 1. Who writes, and who judges?
# 2. The draw stands between the two answers and the question whether they are equal. p is a number between 0 and 1, and it stays one.
# 3. `a, b = (responder.generate(prompt, generator=generator).strip() for _ in range(2))`; the draw; if they differ, append the five entries with `ai_preference(lm, prompt, a, b, principle, clamp)`.

# %% tests="build_preference_dataset"


@task("build_preference_dataset")
def test_pairs_with_one_principle(student):
    """Three prompts, of which the second gets the same answer twice: two pairs are left."""
    written = [" one", "two ", "same", "same", "three", "four"]
    opinions = [[0.0, -1.0], [-1.0, 0.0], [0.0, -9.0], [0.0, 0.0]]
    found = student.ask(pair_records, written, opinions, ["p", "q", "r"], [POLITE], 0, None).value
    assert [each["prompt"] for each in found["records"]] == ["p", "r"], "Other pairs are left."
    assert [(each["a"], each["b"]) for each in found["records"]] == [("one", "two"), ("three", "four")], (
        "Other answers."
    )
    assert abs(found["records"][0]["p"] - 0.7310586) < 1e-6, "The chance of the first pair is another."
    assert found["records"][0]["principle"] == "polite", "The principle's id is missing."


@task("build_preference_dataset")
@needs("test_pairs_with_one_principle")
def test_no_principles(student):
    """An empty constitution is refused."""
    student.ask(pair_records, ["a", "b"], [[0.0, 0.0]] * 2, ["p"], [], 0, None).refused()


# %% [markdown] task="train_ai_reward_model"
# ## `train_ai_reward_model`: a reward model from doubtful labels
#
# As in a09, but a label is a chance: with $r_a$, $r_b$ the scores of the two texts, the loss of a pair is
#
# $$ \ell = -p \log\sigma(r_a - r_b) - (1 - p) \log \sigma(r_b - r_a) $$
#
# whose minimum is at $\sigma(r_a - r_b) = p$: a label of 0.5 pulls the two together, and 0.51 is not 0.99.
#
# - The model is `RewardModel(lm, ShippedHead(lm.config["d_model"]))`; give the head's weights a fresh normal draw of standard deviation $1/\sqrt{d+1}$, as in a09.
# - `steps` optimiser steps, each on **64 pairs** drawn at random, with replacement; the mean of their losses. No more text than that is read with gradients.
# - `a`, `b` are whole texts (N, T), prompt and answer; masks say what is real, and are to be believed.
# - `seed` fixes all that is drawn. The model comes back in eval mode; `lm` may be trained along.
#
# **What is known to work**: AdamW, learning rate 1e-3, a warm-up of ten steps, a straight line to zero over the last third, the gradient's norm limited to 1.
#
# **What is graded.** A world of four reviews in which the chances have to come back as they were given. And 1,500 pairs that a judge labelled by a principle against rude words, 120 steps: then, for each of 150 prompts, your model chooses the best
# of eight answers of the language model as it was. By the rule, which neither the judge nor you have seen, at least 95% of what it chose has no rude word (the answers as they come: 63%), and at least 95% still say something and end.


# %% task="train_ai_reward_model" points=4 minutes=35
def train_ai_reward_model(
    lm: TinyLM, a: Tensor, a_mask: Tensor, b: Tensor, b_mask: Tensor, p: Tensor, steps: int, seed: int
) -> RewardModel:
    """A reward model, trained on pairs with soft labels.

    a, b: (N, T) tokens, each row a prompt and its answer; a_mask, b_mask: (N, T), True = real.
    p: (N,), the chance that a is better. steps: each on 64 pairs. seed: fixes all that is drawn. Returns it in eval mode.

    Source: Bai et al. 2022, section 4.1: soft preference labels.
    """
    ### BEGIN SOLUTION
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)  # dropout, if the model has any
    model = RewardModel(lm, ShippedHead(lm.config["d_model"])).train()
    with torch.no_grad():
        model.head.score.weight.normal_(std=(lm.config["d_model"] + 1) ** -0.5, generator=generator)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 1e-3 * min((step + 1) / 10, 1.0, 3 * (steps - step) / steps)
        rows = torch.randint(len(p), (64,), generator=generator)  # (64,)
        lead = model(a[rows], a_mask[rows]) - model(b[rows], b_mask[rows])  # (64,)
        loss = F.binary_cross_entropy_with_logits(lead, p[rows].to(lead.dtype))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return model.eval()
    ### END SOLUTION


# %% [markdown] hints="train_ai_reward_model"
# 1. At which lead does a pair with p = 0.6 stop pulling?
# 2. The loss is a cross entropy with two outcomes and a target that is no whole number. torch has it as one function that takes the lead itself.
# 3. `lead = model(a[rows], a_mask[rows]) - model(b[rows], b_mask[rows])`; `F.binary_cross_entropy_with_logits(lead, p[rows])`; the rest is the training of a09.

# %% tests="train_ai_reward_model"
LINES = (
    "<bos> the room was warm . <eos>",
    "<bos> honestly the room was dull . <eos>",
    "<bos> our food was very clean . <eos>",
    "<bos> our food was noisy . <eos>",
)


def four_texts():
    """80 pairs of four reviews, and the chances 0.8 and 0.35 of each first one."""
    tokens = torch.zeros(4, 12, dtype=torch.int64)
    for row, ids in zip(tokens, map(reviews.encode, LINES), strict=True):
        start = reviews.PROMPT - 1 - ids.index(reviews.ID["was"])
        row[start : start + len(ids)] = torch.tensor(ids)
    a, b = torch.tensor([0, 2] * 40), torch.tensor([1, 3] * 40)
    mask = tokens != reviews.PAD
    return tokens, mask, [tokens[a], mask[a], tokens[b], mask[b], torch.tensor([0.8, 0.35] * 40)]


@task("train_ai_reward_model")
@graded_run(cpu_seconds=60)
def test_practice_brings_chances_back(student, run):
    """What was labelled with 0.8 and 0.35 comes back as 0.8 and 0.35."""
    *_, given = four_texts()
    base = pretrained("reviews_base")
    found = student.ask(chances_after, base.config, base.state_dict(), given, 150, run.seed).value
    run.tells("chances of two pairs", found.tolist(), [0.8, 0.35], atol=0.06)


@task("train_ai_reward_model")
@graded_run(cpu_seconds=30)
def test_one_seed_one_model_of_rewards(student, run):
    """Two trainings with one seed give the same scores; the model comes back in eval mode."""
    *_, given = four_texts()
    config = {"vocab_size": 25, "d_model": 16, "n_layers": 1, "n_heads": 2}
    found = student.ask(train_twice, config, given, 3, [5, 5, 6]).value
    assert torch.equal(found["scores"][0], found["scores"][1]), "One seed gave two models."
    assert not torch.equal(found["scores"][0], found["scores"][2]), "Two seeds gave one model."
    assert not any(found["training"]), "The model should come back in eval mode."
