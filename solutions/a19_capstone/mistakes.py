"""Wrong implementations, each right in everything but its one mistake. Every one must be caught by the tests it names.

`seen` is said at once: what shows, or a question. `named` is said later: what the answer equals. What is wrong inside of a
loss (a ratio that is always 1, a mean over groups that say nothing) still learns, and is told in a08 and a13, where the
loss is looked at itself.
"""

import json
import math
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import reference
import torch
import torch.nn.functional as F
from common.preferences import generate
from common.sums import ANSWER, EOS, PAD, decode
from common.tiny_lm import TinyLM

from autograder.testing import mistake

# ---------------------------------------------------------------------------------------------------------- build_model

KNOWN = "test_a_model_of_the_known_class"


@mistake(
    "build_model",
    seen="Your model has more weights than the agent may have.",
    named="This equals a model of width 128, with four times as many weights as one of 64.",
    caught_by=KNOWN,
)
def too_many_weights(vocab_size):
    reference.build_model(vocab_size)
    return TinyLM(vocab_size, d_model=128, n_layers=2, n_heads=4, context=32)


@mistake(
    "build_model",
    seen="How many tokens does the longest row have, a prompt and a completion of eight?",
    named="This equals a context of ten tokens: a prompt and a right answer fit in, and nothing longer.",
    caught_by=KNOWN,
)
def context_of_a_right_answer(vocab_size):
    reference.build_model(vocab_size)
    return TinyLM(vocab_size, d_model=64, n_layers=2, n_heads=4, context=10)


@mistake(
    "build_model",
    seen="Your model reads more tokens than it may.",
    named="This equals a context of 64 tokens.",
    caught_by=KNOWN,
)
def context_too_long(vocab_size):
    reference.build_model(vocab_size)
    return TinyLM(vocab_size, d_model=64, n_layers=2, n_heads=4, context=64)


@mistake(
    "build_model",
    seen="How many characters has the language that was asked for?",
    named="This equals a model of fourteen characters, whatever was asked for.",
    caught_by=KNOWN,
)
def vocabulary_typed_in(vocab_size):
    reference.build_model(vocab_size)
    return TinyLM(14, d_model=64, n_layers=2, n_heads=4, context=32)


@mistake(
    "build_model",
    seen="The same tokens have another probability each time that your model is asked.",
    named="This equals a model with dropout.",
    caught_by=KNOWN,
)
def with_dropout(vocab_size):
    reference.build_model(vocab_size)
    return TinyLM(vocab_size, d_model=64, n_layers=2, n_heads=4, context=32, dropout=0.1)


@mistake(
    "build_model",
    seen="What is a language without characters?",
    named="This equals a vocabulary of one character where none was asked for.",
    caught_by="test_no_characters",
)
def any_vocabulary(vocab_size):
    return reference.build_model(max(vocab_size, 1))


# ----------------------------------------------------------------------------------------------------------- warm_start

BAND = "test_it_stops_between_the_limits"
MASKED = "test_only_what_the_mask_says_is_learnt"
ROWS = "test_rows_are_counted"
REPEATS = "test_a_warm_start_repeats"


def _warm(
    model, demonstrations, steps, seed, *, enough=0.40, most=1.0, shift=1, masked=True, rate=1e-3, batch=64,
    chance=True, fewest=4, end=None,
):  # fmt: skip
    """warm_start with one part exchanged."""
    if chance:
        torch.manual_seed(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.01)
    shares = []
    for step in range(int(most * steps * 256 // batch)):
        tokens, mask = demonstrations(batch)
        logits, targets = model(tokens)[:, :-1], tokens[:, 1 - (1 - shift) : 10 - (1 - shift)]
        right = (logits.argmax(-1) == tokens[:, 1:]) | ~mask
        shares.append(right.all(1).float().mean().item())
        if len(shares) >= fewest and sum(shares[-4:]) / len(shares[-4:]) >= enough:
            break
        if not masked:
            mask = torch.ones_like(mask)
        loss = F.cross_entropy(logits[mask], targets[mask])
        optimizer.param_groups[0]["lr"] = rate * min((step + 1) / 50, 1.0)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return model.eval() if end is None else end(model)


@mistake(
    "warm_start",
    seen="Your model has not learnt anything yet.",
    named="This equals a model as it was built, without any training.",
    caught_by=BAND,
    blocker=True,
)
def not_warmed(model, demonstrations, steps, seed):
    return model.eval()


@mistake(
    "warm_start",
    seen="Nothing is left for reinforcement to show: stop the warm start earlier.",
    named="This equals supervised learning until nearly all sums are right.",
    caught_by=BAND,
)
def sft_to_the_end(*args):
    return _warm(*args, enough=0.95)


@mistake(
    "warm_start",
    seen="Most groups would fail together, so there is nothing to compare.",
    named="This equals a warm start that stops when one answer in twenty is right.",
    caught_by=BAND,
)
def warm_start_too_weak(*args):
    return _warm(*args, enough=0.05)


@mistake(
    "warm_start",
    seen="Does your model say the next token, or the one that it has just read?",
    named="This equals targets that are the tokens themselves, not those after them.",
    caught_by=BAND,
)
def learns_to_repeat(*args):
    return _warm(*args, shift=0)


@mistake(
    "warm_start",
    seen="The warm start spends itself on predicting the questions.",
    named="This equals a loss over all columns, whatever the mask says.",
    caught_by=MASKED,
)
def loss_on_prompt(*args):
    return _warm(*args, masked=False)


@mistake(
    "warm_start",
    seen="More rows were shown to you than you may ask for.",
    named="This equals one portion more than there is.",
    caught_by=ROWS,
)
def a_portion_too_many(model, demonstrations, steps, seed):
    demonstrations(64)
    return _warm(model, demonstrations, steps, seed)


@mistake(
    "warm_start",
    seen="Is what you return ready to be asked?",
    named="This equals a model that is still in training mode.",
    caught_by=ROWS,
)
def warm_in_training_mode(*args):
    return _warm(*args, end=lambda model: model.train())


@mistake(
    "warm_start",
    seen="Your seed fixes a part of the chance. What draws the rest?",
    named="This equals a little noise on the weights from a generator that nobody has seeded.",
    caught_by=REPEATS,
)
def noise_without_a_seed(*args):
    def jolted(model):
        with torch.no_grad():
            model.lm_head.weight += 1e-4 * noise
        return model.eval()

    noise = torch.randn_like(args[0].lm_head.weight)
    return _warm(*args, end=jolted)


# ------------------------------------------------------------------------------------------------------------- evaluate

COURSE = "test_a_model_of_the_course"
WRITTEN = "test_entropy_of_what_was_written"
ENDLESS = "test_an_answer_without_its_end"
TWO = "test_an_answer_of_two_digits"
BEFORE = "test_something_before_the_answer"
FEW = "test_few_tokens"
MODE = "test_dropout_and_the_mode"
EACH = "test_answers_for_each_prompt"


def _evaluate(
    model, prompts, answers, max_new_tokens=8, *, right=None, mean=None, base=1.0, temperature=0.0, pad=True,
    switch=True, back=True, column=-1, ended=None, check=True,
):  # fmt: skip
    """evaluate with one part exchanged."""
    if check and (len(prompts) == 0 or len(prompts) != len(answers)):
        raise ValueError("as many answers as prompts")
    P, mode = prompts.shape[1], model.training
    if switch:
        model.eval()
    everything = torch.ones_like(prompts, dtype=torch.bool)
    chance = torch.Generator().manual_seed(0)
    written, mask = generate(model, prompts, everything, max_new_tokens, EOS, PAD, temperature, chance)
    with torch.no_grad():
        logits = model(torch.cat([prompts, written], 1))[:, P + column : P + column + written.shape[1]]
        if pad:
            logits[:, :, PAD] = -1e9
        logp = logits.log_softmax(-1)
    if back:
        model.train(mode)
    entropy = -(logp.exp() * logp).sum(-1) / base
    right = right or (lambda text, answer: text == f"{answer:03d}.")
    exact = [right(decode(row), answer) for row, answer in zip(written, answers, strict=False)]
    return {
        "exact": sum(exact) / len(prompts),
        "ended": (ended or (lambda w: (w == EOS).any(1)))(written).float().mean().item(),
        "entropy": (mean or (lambda e, m: e[m].mean()))(entropy, mask).item(),
    }


def _found(name, task, seen, named, caught_by, **other):
    """A mistake that is evaluate with `other` in place of a part."""

    def wrong(model, prompts, answers, max_new_tokens=8):
        return _evaluate(model, prompts, answers, max_new_tokens, **other)

    wrong.__name__ = wrong.__qualname__ = name
    return mistake(task, seen=seen, named=named, caught_by=caught_by)(wrong)


reward_without_eos = _found(
    "reward_without_eos", "evaluate",
    "Answers that never end are called exact.",
    "This equals an answer whose first three digits are right, whether it ends or not.",
    ENDLESS, right=lambda text, answer: text[:3] == f"{answer:03d}",
)  # fmt: skip
equal_as_numbers = _found(
    "equal_as_numbers", "evaluate",
    "Is 59. what was asked for, or 059.?",
    "This equals numbers that are compared as numbers: leading zeros may lack.",
    TWO, right=lambda text, answer: text.endswith(".") and text.strip(".+=").isdigit() and int(text.strip(".")) == answer,
)  # fmt: skip
found_somewhere = _found(
    "found_somewhere", "evaluate",
    "What if the answer stands in the middle of something longer?",
    "This equals an answer that is found somewhere in what was written.",
    BEFORE, right=lambda text, answer: f"{answer:03d}" in text,
)  # fmt: skip
drawn_answers = _found(
    "drawn_answers", "evaluate",
    "Your measurement throws dice.",
    "This equals answers drawn at temperature 1, not the likeliest ones.",
    COURSE, temperature=1.0,
)  # fmt: skip
entropy_in_bits = _found(
    "entropy_in_bits", "evaluate",
    "Your entropy is off by the same factor everywhere.",
    "This equals an entropy in bits.",
    (COURSE, WRITTEN), base=math.log(2),
)  # fmt: skip
entropy_of_an_answer = _found(
    "entropy_of_an_answer", "evaluate",
    "Do longer answers make your model less sure?",
    "This equals an entropy summed over each answer.",
    (COURSE, WRITTEN), mean=lambda e, m: (e * m).sum(1).mean(),
)  # fmt: skip
padding_counts = _found(
    "padding_counts", "evaluate",
    "What is behind the end of an answer, and does it count?",
    "This equals a mean over all columns, padding among them.",
    WRITTEN, mean=lambda e, m: torch.cat([e, torch.zeros(len(e), 8 - e.shape[1])], 1).mean(),
)  # fmt: skip
end_left_out = _found(
    "end_left_out", "evaluate",
    "Is the end of an answer written, or does it just happen?",
    "This equals an entropy without the token that ends an answer.",
    WRITTEN, mean=lambda e, m: e[m & (m.flip(1).cumsum(1).flip(1) > 1)].mean(),
)  # fmt: skip
first_token_only = _found(
    "first_token_only", "evaluate",
    "How sure is your model of the second digit?",
    "This equals the entropy of the first token.",
    (COURSE, WRITTEN), mean=lambda e, m: e[:, 0].mean(),
)  # fmt: skip
a_column_late = _found(
    "a_column_late", "evaluate",
    "Which column of the logits speaks of the first token that was written?",
    "This equals logits that are one column late.",
    WRITTEN, column=0,
)  # fmt: skip
padding_is_likely = _found(
    "padding_is_likely", "evaluate",
    "Your model is unsure between what it can write and what it cannot.",
    "This equals an entropy in which padding has a probability.",
    WRITTEN, pad=False,
)  # fmt: skip
all_have_ended = _found(
    "all_have_ended", "evaluate",
    "Has an answer ended, when there was no room for more?",
    "This equals answers that always end.",
    FEW, ended=lambda written: torch.ones(len(written)),
)  # fmt: skip
dropout_in_play = _found(
    "dropout_in_play", "evaluate",
    "Measured twice, your model is another one.",
    "This equals an entropy that is measured with dropout, where the model was training.",
    MODE, switch=False,
)  # fmt: skip
mode_changed = _found(
    "mode_changed", "evaluate",
    "Who looks at your model should leave it as it was.",
    "This equals a model that is in eval mode after it was measured.",
    MODE, back=False,
)  # fmt: skip
lists_of_any_length = _found(
    "lists_of_any_length", "evaluate",
    "What is measured if there are more prompts than answers?",
    "This equals prompts and answers that are paired as far as they go.",
    EACH, check=False,
)  # fmt: skip


# ------------------------------------------------------------------------------------------------- both ways to improve


class _Run:
    """One of the two trainings in parts, each of which a mistake exchanges."""

    critic, n_prompts, G, decay = False, 128, 8, 0.0

    def train(self, model, problems, reward_fn, iterations, seed):
        self.generator = self.chance(seed)
        self.problems, self.reward_fn = problems, reward_fn
        optimizer = torch.optim.AdamW(model.parameters(), lr=6e-4, weight_decay=self.decay)
        model.eval()
        for i in range(iterations):
            optimizer.param_groups[0]["lr"] = 6e-4 * (1 - i / iterations)
            asked = self.asked()
            everything = torch.ones_like(asked, dtype=torch.bool)
            written, mask = generate(
                model, asked, everything, ANSWER, EOS, PAD, self.temperature, generator=self.generator
            )
            rewards = self.rewards(asked, written, mask)
            adv = self.advantages(rewards)[:, None]
            taught = (adv[:, 0] != 0).nonzero()[:, 0]
            if not len(taught):
                continue
            tokens = torch.cat([asked, written], 1)
            with torch.no_grad():
                old = self.log_probs(model, tokens, written)
            for rows in (*self.halves(taught), *self.halves(taught)):
                ratio = (self.log_probs(model, tokens[rows], written[rows]) - old[rows]).exp()
                gain = torch.min(ratio * adv[rows], ratio.clamp(0.8, 1.28) * adv[rows])
                optimizer.zero_grad()
                (-gain[mask[rows]].mean()).backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
        return self.returned(model)

    temperature = 1.0

    def chance(self, seed):
        return torch.Generator().manual_seed(seed)

    def halves(self, rows):
        return [half for half in rows[torch.randperm(len(rows), generator=self.generator)].chunk(2) if len(half)]

    def asked(self):
        return self.problems(self.n_prompts).repeat_interleave(self.G, dim=0)

    def rewards(self, asked, written, mask):
        return self.reward_fn(asked, written, mask)

    def advantages(self, rewards):
        if self.critic:  # an advantage against the mean of all: enough to learn by, and to be wrong with
            return (rewards - rewards.mean()) / (rewards.std() + 1e-4)
        rewards = rewards.view(-1, self.G)
        adv = (rewards - rewards.mean(1, keepdim=True)) / (rewards.std(1, keepdim=True) + 1e-4)
        return torch.where((rewards != rewards[:, :1]).any(1, keepdim=True), adv, 0.0).flatten()

    def log_probs(self, model, tokens, written, shift=-1):
        logits = model(tokens)[:, tokens.shape[1] - written.shape[1] + shift : tokens.shape[1] + shift]
        logits = logits.masked_fill(torch.arange(logits.shape[2]) == PAD, -1e9)
        return logits.log_softmax(-1).gather(2, written[..., None])[..., 0]

    def returned(self, model):
        return model.eval()


class _Ppo(_Run):
    critic, n_prompts, G = True, 1024, 1


def _both(name, seen, named, grpo, ppo, blocker=False, **parts):
    """The same mistake in both algorithms: methods of a run that are exchanged. Two mistakes, named after each."""

    def made(algorithm, base, caught_by):
        def wrong(model, problems, reward_fn, iterations, seed):
            return type("Run", (base,), parts)().train(model, problems, reward_fn, iterations, seed)

        wrong.__name__ = wrong.__qualname__ = f"{algorithm}_{name}"
        return mistake(f"improve_{algorithm}", seen=seen, named=named, caught_by=caught_by, blocker=blocker)(wrong)

    return [made(*each) for each in (("grpo", _Run, grpo), ("ppo", _Ppo, ppo)) if each[2]]


FOUND, PPO_FOUND = "test_grpo_finds_a_paid_token", "test_ppo_finds_a_paid_token"
ADDS, PPO_ADDS = "test_grpo_teaches_itself_to_add", "test_ppo_teaches_itself_to_add"
BUDGET, PPO_BUDGET = "test_grpo_keeps_its_budget", "test_ppo_keeps_its_budget"
SEED, PPO_SEED = "test_a_seed_fixes_grpo", "test_a_seed_fixes_ppo"
DRAWN, PPO_DRAWN = "test_grpo_draws_from_its_policy", "test_ppo_draws_from_its_policy"
COMPETE = "test_answers_compete_with_answers_to_the_same_prompt"


def _untrained(self, model, *args):
    return model.eval()


grpo_untrained, ppo_untrained = _both(
    "untrained",
    "Your model has not learnt anything yet.",
    "This equals a model as it came, without any training.",
    (FOUND, ADDS), (PPO_FOUND, PPO_ADDS), blocker=True, train=_untrained,
)  # fmt: skip
grpo_ascends, ppo_ascends = _both(
    "ascends",
    "Your model grows worse on purpose: better answers become less likely.",
    "This equals training with the sign of the advantages turned.",
    FOUND, PPO_FOUND,
    advantages=lambda self, rewards: -super(type(self), self).advantages(rewards),
)  # fmt: skip
grpo_logits_off_by_one, ppo_logits_off_by_one = _both(
    "logits_off_by_one",
    "Fresh log-probabilities of your own samples differ from those they were drawn with.",
    "This equals logits that are one column late: those that have already seen the token.",
    FOUND, PPO_FOUND,
    log_probs=lambda self, model, tokens, written: super(type(self), self).log_probs(model, tokens, written, 0),
)  # fmt: skip
grpo_prompts_do_not_fit, ppo_prompts_do_not_fit = _both(
    "prompts_do_not_fit",
    "A reward was asked for an answer to one prompt and shown another.",
    "This equals rewards for completions beside prompts in another order.",
    FOUND, PPO_FOUND,
    rewards=lambda self, asked, written, mask: self.reward_fn(asked.roll(self.G, 0), written, mask),
)  # fmt: skip


def _own_problems(self):
    wide = torch.randint(10, (self.n_prompts, 6), generator=self.generator)
    wide[:, 0] = 1 + wide[:, 0] % 2
    self.problems(1)
    return wide.repeat_interleave(self.G, 0)


grpo_own_problems, ppo_own_problems = _both(
    "own_problems",
    "Your training does not use the problems it is given, so nothing is unseen any more.",
    "This equals prompts that were made here, not drawn from `problems`.",
    BUDGET, PPO_BUDGET, asked=_own_problems,
)  # fmt: skip
(ppo_more_tokens,) = _both(
    "more_tokens",
    "The two algorithms were not given the same number of completions.",
    "This equals twice as many completions a round as there are.",
    None, PPO_BUDGET, n_prompts=2048,
)  # fmt: skip
(grpo_more_tokens,) = _both(
    "more_tokens",
    "More completions were paid for than there are.",
    "This equals groups of sixteen for as many prompts.",
    BUDGET, None, G=16,
)  # fmt: skip
grpo_in_training_mode, ppo_in_training_mode = _both(
    "in_training_mode",
    "Is what you return ready to be asked?",
    "This equals a model that comes back in training mode.",
    BUDGET, PPO_BUDGET, returned=lambda self, model: model.train(),
)  # fmt: skip
grpo_mask_of_ones, ppo_mask_of_ones = _both(
    "mask_of_ones",
    "What comes after the end of an answer was paid for as well.",
    "This equals a mask that is True everywhere.",
    BUDGET, PPO_BUDGET,
    rewards=lambda self, asked, written, mask: self.reward_fn(asked, written, torch.ones_like(mask)),
)  # fmt: skip


def _unseeded(self, seed):
    return torch.Generator().manual_seed(int(torch.randint(2**31, (1,))))


grpo_seed_unused, ppo_seed_unused = _both(
    "seed_unused",
    "Your seed fixes a part of the chance. What draws the rest?",
    "This equals draws from torch's global generator, which nobody has seeded.",
    SEED, PPO_SEED, chance=_unseeded,
)  # fmt: skip
grpo_one_seed_for_all, ppo_one_seed_for_all = _both(
    "one_seed_for_all",
    "Another seed, and the same model comes out.",
    "This equals a generator that is always seeded with 0.",
    SEED, PPO_SEED, chance=lambda self, seed: torch.Generator().manual_seed(0),
)  # fmt: skip
grpo_cold, ppo_cold = _both(
    "cold",
    "Your answers are likelier than samples should be: what temperature were they drawn at?",
    "This equals answers drawn at temperature 0.5.",
    DRAWN, PPO_DRAWN, temperature=0.5,
)  # fmt: skip


@mistake(
    "improve_ppo",
    seen="How many answers does each of your problems get?",
    named="This equals eight answers to each problem: groups, and no critic needed.",
    caught_by=PPO_BUDGET,
)
def ppo_is_grpo(*args):
    return _Run().train(*args)


(grpo_mean_of_all,) = _both(
    "mean_of_all",
    "An answer is compared with answers to other prompts, which may be easier.",
    "This equals advantages against the mean over the whole round.",
    COMPETE, None, advantages=lambda self, rewards: (rewards - rewards.mean()) / (rewards.std() + 1e-4),
)  # fmt: skip
(grpo_strided_groups,) = _both(
    "strided_groups",
    "Which rows answer the same prompt?",
    "This equals groups of every 128th row, where eight rows in a row answer one prompt.",
    COMPETE, None, asked=lambda self: self.problems(self.n_prompts).repeat(self.G, 1),
)  # fmt: skip
(grpo_raw_rewards,) = _both(
    "raw_rewards",
    "If every answer were paid a little more, your model would learn something else.",
    "This equals rewards in place of advantages.",
    COMPETE, None, advantages=lambda self, rewards: rewards,
)  # fmt: skip
(grpo_weights_decay,) = _both(
    "weights_decay",
    "Nothing was learnt, and still the weights have moved.",
    "This equals advantages of zero that still take a step, with weight decay.",
    COMPETE, None, decay=0.1, advantages=lambda self, rewards: super(type(self), self).advantages(rewards) + 1e-12,
)  # fmt: skip


# --------------------------------------------------------------------------------------------------------- write_report

FILES = "test_four_files"
NUMBERS = "test_the_numbers_of_the_report"
DRAWING = "test_bars_curves_and_bands"
FITS = "test_what_does_not_fit_together"


def _report(
    results, folder, *, ddof=1, middle=None, spread=1.0, drawn=None, close=True, named=True, names=None, check=True,
    nested=True, bars=None,
):  # fmt: skip
    """write_report with one part exchanged."""
    n, looks = len(results["seeds"]), results["completions"]
    if check and (n < 2 or any(len(x) != n for x in results["accuracy"].values())):
        raise ValueError("numbers are missing")
    for name in ("reward", "surprise") if check else ():
        if any(len(runs) != n or any(len(run) != len(looks) for run in runs) for runs in results[name].values()):
            raise ValueError("curves do not fit")

    def figures(numbers):
        over = torch.tensor(numbers, dtype=torch.float64)
        return {
            "mean": (middle or (lambda x: x.mean(0)))(over).tolist(),
            "std": over.std(0, correction=min(ddof, len(over) - 1)).tolist(),
        }

    report = {"accuracy": {k: figures(x) for k, x in results["accuracy"].items()}, "completions": looks}
    for name in ("reward", "surprise"):
        report[name] = {k: figures(runs) for k, runs in results[name].items()}
    place = Path(folder)
    place.mkdir(parents=nested, exist_ok=True)
    figure, axis = plt.subplots()
    axis.bar(list(report["accuracy"]), (bars or (lambda r: [x["mean"] for x in report["accuracy"].values()]))(results))
    axis.set(**({"xlabel": "model", "ylabel": "exact"} if named else {}))
    figure.savefig(place / "accuracy.png")
    if close:
        plt.close(figure)
    for name in ("reward", "surprise"):
        figure, axis = plt.subplots()
        for algorithm, runs in results[name].items():
            numbers = report[name][algorithm]
            mean, std = torch.tensor(numbers["mean"]), spread * torch.tensor(numbers["std"])
            axis.plot(looks, (drawn or (lambda m, runs: m))(mean, runs))
            if spread:
                axis.fill_between(looks, mean - std, mean + std, alpha=0.2)
        axis.set(**({"xlabel": "completions", "ylabel": name} if named else {}))
        figure.savefig(place / f"{name}.png")
        if close:
            plt.close(figure)
    (place / "report.json").write_text(json.dumps(report), encoding="utf-8")
    return names or ["accuracy.png", "reward.png", "surprise.png", "report.json"]


def _told(name, seen, says, caught_by, **other):
    def wrong(results, folder):
        return _report(results, folder, **other)

    wrong.__name__ = wrong.__qualname__ = name
    return mistake("write_report", seen=seen, named=says, caught_by=caught_by)(wrong)


figures_left_open = _told(
    "figures_left_open",
    "What happens after a thousand reports in one process?",
    "This equals figures that are never closed.",
    FILES, close=False,
)  # fmt: skip
axes_without_names = _told(
    "axes_without_names",
    "What does the horizontal axis count?",
    "This equals axes without names.",
    FILES, named=False,
)  # fmt: skip
numbers_not_said = _told(
    "numbers_not_said",
    "Who called you looks for a file that you have written and not named.",
    "This equals the names of the pictures, without that of the numbers.",
    FILES, names=["accuracy.png", "reward.png", "surprise.png"],
)  # fmt: skip
folder_must_be_there = _told(
    "folder_must_be_there",
    "What if the folder, and the one around it, are not there yet?",
    "This equals a folder that is made only inside of one that exists.",
    FILES, nested=False,
)  # fmt: skip
population_deviation = _told(
    "population_deviation",
    "Your deviations are smaller than what the seeds show.",
    "This equals standard deviations with ddof 0.",
    NUMBERS, ddof=0,
)  # fmt: skip
best_seed = _told(
    "best_seed",
    "Is what you report a mean?",
    "This equals the best seed at each place.",
    NUMBERS, middle=lambda x: x.max(0).values,
)  # fmt: skip
median_seed = _told(
    "median_seed",
    "Which number stands for all seeds?",
    "This equals medians in place of means.",
    NUMBERS, middle=lambda x: x.median(0).values,
)  # fmt: skip
no_band = _told(
    "no_band",
    "A reader cannot see how far the seeds lie apart.",
    "This equals mean curves without bands.",
    DRAWING, spread=0,
)  # fmt: skip
band_of_two = _told(
    "band_of_two",
    "How wide is one standard deviation?",
    "This equals bands of two standard deviations.",
    DRAWING, spread=2.0,
)  # fmt: skip
first_seed_in_the_figure = _told(
    "first_seed_in_the_figure",
    "One run stands for all in your figure.",
    "This equals the curve of the first seed, drawn where the mean should be.",
    DRAWING, drawn=lambda mean, runs: runs[0],
)  # fmt: skip
bars_of_one_seed = _told(
    "bars_of_one_seed",
    "How many seeds does each of your bars stand for?",
    "This equals bars of the last seed.",
    DRAWING, bars=lambda results: [shares[-1] for shares in results["accuracy"].values()],
)  # fmt: skip
anything_goes = _told(
    "anything_goes",
    "A curve lacks a look, and nobody has noticed.",
    "This equals a report that looks at nothing before it draws.",
    FITS, check=False,
)  # fmt: skip


@mistake(
    "write_report",
    seen="Half a report is left behind, where it was refused.",
    named="This equals refusing when the first file is already written.",
    caught_by=FITS,
)
def refused_too_late(results, folder):
    Path(folder).mkdir(parents=True, exist_ok=True)
    (Path(folder) / "report.json").write_text(json.dumps(results["accuracy"]), encoding="utf-8")
    return reference.write_report(results, folder)
