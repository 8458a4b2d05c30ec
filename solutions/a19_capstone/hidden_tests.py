"""The tests that count. One test turns one knob; its docstring is the sentence that is true of a right answer.

Inputs come from `seed` alone. Digits are renamed wherever something is trained on sums, so that only what is shown and
what is paid tells which is which. `@needs` stands on every property that an empty answer has too.
"""

import copy
import math

import common.sums as sums
import pytest
import torch
from asks import (
    built,
    files_after_refusal,
    improved,
    measured,
    measured_of_a_model,
    reported,
    tiny_of,
    trained_weights,
    warmed,
    warmed_from,
)
from common.preferences import generate
from common.tiny_lm import TinyLM, pretrained

from autograder.testing import BudgetExceeded, Counted, graded_run, needs, task, weight
from autograder.testing.readings import take_weights
from autograder.testing.student import WrongAnswer

SMALL = {"vocab_size": 14, "d_model": 32, "n_layers": 1, "n_heads": 2, "context": 16, "dropout": 0.0}
SMALLEST = {"vocab_size": 14, "d_model": 8, "n_layers": 1, "n_heads": 1, "context": 16, "dropout": 0.0}
LONGEST = 8


def fresh(seed, config):
    """A model that has learnt nothing."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return TinyLM(**config).eval()


def changed(before, after):
    """How far apart two sets of weights are."""
    return math.sqrt(sum(float((after[name] - tensor).square().sum()) for name, tensor in before.items()))


def renamed(seed):
    """Digits under other names: the new id of each old one (14,); ends, signs and padding keep theirs."""
    names = torch.arange(len(sums.CHARACTERS))
    names[:10] = torch.randperm(10, generator=torch.Generator().manual_seed(seed + 77))
    return names


def in_disguise(model, names):
    """The weights of the same model, which reads and writes the new names."""
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for table in ("embed.weight", "lm_head.weight"):
        weights[table][names] = model.state_dict()[table]
    return weights


# ---------------------------------------------------------------------------------------------------------- build_model


@task("build_model")
@weight(2)
def test_a_model_of_the_known_class(student, seed):
    """A TinyLM of the asked vocabulary, with at most 250,000 weights, a context of 14 to 32 and no dropout."""
    vocab = 10 + seed % 40
    found = student.ask(built, vocab).value
    config = found["config"]
    assert found["class"] == "TinyLM", "The model should be a TinyLM."
    assert config["vocab_size"] == vocab, "The model should know as many characters as were asked for."
    assert found["logits"] == [2, 14, vocab], "The model should give logits for each character."
    assert not found["alike"], "All logits are the same, whatever is read: from such weights nothing can be learnt."
    assert found["weights"] <= 250_000, "There are more than 250,000 weights."
    assert 14 <= config["context"] <= 32, "The context should be 14 to 32 tokens."
    assert config["dropout"] == 0, "There should be no dropout."
    ours = {name: list(tensor.shape) for name, tensor in TinyLM(**config).state_dict().items()}
    assert found["shapes"] == ours, "The weights are not those of a TinyLM of these sizes."


@task("build_model")
@needs("test_a_model_of_the_known_class")
def test_no_characters(student, seed):
    """A vocabulary of none is refused."""
    student.build_model(-(seed % 3)).refused()


# ----------------------------------------------------------------------------------------------------------- warm_start


class Rows:
    """Demonstrations that the grader hands out: rows are counted, and digits have other names."""

    def __init__(self, budget, seed, names, run=None):
        self.generator = torch.Generator().manual_seed(seed + 1000)
        self.budget, self.names, self.run, self.used = budget, names, run, 0

    def __call__(self, n):
        if not isinstance(n, int) or n < 1:
            raise WrongAnswer("demonstrations(n) takes a whole number of rows, at least 1.")
        self.used += n
        if self.used > self.budget:
            raise BudgetExceeded(f"the {self.budget} demonstrations are spent")
        if self.run is not None:
            self.run.progress(self.used, self.budget)
        tokens, mask = sums.demonstrations(sums.sample_problems(n, self.generator))
        return self.names[tokens], mask


def held_out_answers(model, names):
    """Greedy answers to all held-out sums: which are exact, and which end."""
    held_out = sums.split()[1]
    asked, back = names[sums.prompts(held_out)], names.argsort()
    everything = torch.ones_like(asked, dtype=torch.bool)
    written, mask = generate(model.eval(), asked, everything, LONGEST, sums.EOS, sums.PAD, temperature=0)
    return sums.exact(held_out, back[written]), ((written == sums.EOS) & mask).any(1)


LEAST, MOST, STEPS = 0.25, 0.60, 500


@task("warm_start")
@weight(3)
@graded_run(cpu_seconds=120)
def test_it_stops_between_the_limits(student, run):
    """After a warm start on at most 128,000 rows, 25% to 60% of the held-out sums are exact, read off greedily."""
    names = renamed(run.seed)
    rows = Rows(STEPS * 256, run.seed, names, run)
    config = student.ask(warmed, 14, Counted(rows, STEPS * 256), STEPS, run.seed).value
    assert isinstance(config.get("d_model"), int), "The model should be a TinyLM."
    assert 12 * config["d_model"] ** 2 * config["n_layers"] <= 250_000, "There are more than 250,000 weights."
    model = TinyLM(**config)
    assert sum(p.numel() for p in model.parameters()) <= 250_000, "There are more than 250,000 weights."
    take_weights(model, student.ask(trained_weights).value)
    share = held_out_answers(model, names)[0].float().mean().item()
    run.reaches("share of exact held-out sums", share, at_most=MOST)
    run.reaches("share of exact held-out sums", share, at_least=LEAST)


def rows_of(seed, n=512):
    """Rows of sums, as demonstrations show them."""
    return sums.demonstrations(sums.sample_problems(n, torch.Generator().manual_seed(seed)))


@task("warm_start")
@needs("test_it_stops_between_the_limits")
def test_only_what_the_mask_says_is_learnt(student, seed):
    """What stands behind the last column that the mask marks is neither learnt nor read: the same weights come of it."""
    start = tiny_of(SMALLEST, fresh(seed, SMALLEST).state_dict())
    tokens, mask = rows_of(seed)
    early = torch.zeros_like(mask)
    early[:, 2:4] = True  # tokens 3 and 4 of ten
    other = tokens.clone()
    other[:, 5:] = tokens.flip(0)[:, 5:]
    ends = [student.ask(warmed_from, start, each, early, 2, seed, 0).value for each in (tokens, other)]
    assert changed(start["weights"], ends[0]["weights"]) > 0, "No weight has moved."
    gap = changed(ends[0]["weights"], ends[1]["weights"])
    assert gap < 1e-5, "Tokens were learnt that the mask leaves out."  # the same sums in the same order


@task("warm_start")
@needs("test_it_stops_between_the_limits")
def test_rows_are_counted(student, seed):
    """At most `steps` times 256 rows are asked for; the model comes back trained, in eval mode."""
    start = tiny_of(SMALLEST, fresh(seed, SMALLEST).state_dict())
    steps = 1 + seed % 3
    found = student.ask(warmed_from, start, *rows_of(seed), steps, seed, 0).value
    assert 0 < found["rows"] <= steps * 256, "That many rows were not yours to ask for."
    assert not found["training"], "The model should come back in eval mode."
    assert changed(start["weights"], found["weights"]) > 0, "No weight has moved."


@task("warm_start")
@needs("test_it_stops_between_the_limits")
def test_a_warm_start_repeats(student, seed):
    """Two warm starts with one seed on the same rows end at the same weights, whatever was drawn elsewhere."""
    start = tiny_of(SMALLEST, fresh(seed, SMALLEST).state_dict())
    ends = [student.ask(warmed_from, start, *rows_of(seed), 2, seed, noise).value["weights"] for noise in (1, 2)]
    assert changed(start["weights"], ends[0]) > 0, "No weight has moved."
    assert changed(ends[0], ends[1]) == 0, "One seed gave two models: what else was drawn from?"


# ------------------------------------------------------------------------------------------------------------- evaluate


def logits_of(seed, places=16, spread=2.0):
    """A table of logits without ties; PAD is likeliest everywhere, and may not be written."""
    table = spread * torch.randn(places, 14, generator=torch.Generator().manual_seed(seed))
    table[:, sums.PAD] = table.max() + 1
    return table


def writing(seed, text, spread=1.0):
    """A table by which a model writes this text after a prompt of six, unsure in its own way at each place."""
    table = logits_of(seed, spread=spread)
    for t, character in enumerate(text):
        table[5 + t, : sums.PAD] -= 0.3
        table[5 + t, sums.ID[character]] = table[5 + t, : sums.PAD].max() + 0.5 + 0.1 * t
    return table


def problems_like(seed, n=7):
    return sums.sample_problems(n, torch.Generator().manual_seed(seed + 10))


CLOSE = {"rtol": 1e-4, "atol": 1e-5}  # float32, means over a few dozen tokens


@task("evaluate")
@weight(2)
def test_a_model_of_the_course(student, reference, seed):
    """Exact, ended and entropy of the warm start on a hundred sums."""
    model = pretrained("sums_warm")
    problems = sums.sample_problems(100, torch.Generator().manual_seed(seed), held_out=True)
    given = (tiny_of(model.config, model.state_dict()), sums.prompts(problems), problems.sum(1).tolist())
    truth = reference.ask(measured_of_a_model, *given)
    student.ask(measured_of_a_model, *given).equals(truth, **CLOSE)


@task("evaluate")
@pytest.mark.parametrize("ends", [True, False])
def test_entropy_of_what_was_written(student, reference, seed, ends):
    """Entropy is a mean over the tokens that were written, in nats: the end counts, padding after it does not."""
    number = int(100 + seed % 100)
    table = writing(seed, f"{number}." if ends else f"{number}{number}12")
    given = (table, sums.prompts(problems_like(seed)), [number] * 3 + [number + 1] * 4, LONGEST)
    truth = reference.ask(measured, *given)
    student.ask(measured, *given).equals(truth, **CLOSE)


def exact_of(student, seed, written, number):
    """The share of exact answers of a model that writes this, where `number` was asked for."""
    found = student.ask(measured, writing(seed, written), sums.prompts(problems_like(seed)), [number] * 7, LONGEST)
    return found.value["exact"]


@task("evaluate")
@needs("test_a_model_of_the_course")
def test_an_answer_without_its_end(student, seed):
    """The right three digits, and then something else in place of the end, are not exact; with their end they are."""
    number = 10 + seed % 80
    assert exact_of(student, seed, f"{number:03d}{number:03d}11", number) == 0, (
        "An answer that never ends is not exact."
    )
    assert exact_of(student, seed, f"{number:03d}.", number) == 1, "A right answer was not called exact."


@task("evaluate")
@needs("test_a_model_of_the_course")
def test_an_answer_of_two_digits(student, seed):
    """The right number without its zero is not what was asked for."""
    number = 10 + seed % 80
    assert exact_of(student, seed, f"{number}.", number) == 0, "Answers have three digits."
    assert exact_of(student, seed, f"{number:03d}.", number) == 1, "A right answer was not called exact."


@task("evaluate")
@needs("test_a_model_of_the_course")
def test_something_before_the_answer(student, seed):
    """The right answer with a digit before it is another number."""
    number = 10 + seed % 80
    assert exact_of(student, seed, f"1{number:03d}.", number) == 0, "Something stands before the answer."
    assert exact_of(student, seed, f"{number:03d}.", number) == 1, "A right answer was not called exact."


@task("evaluate")
@needs("test_a_model_of_the_course")
def test_few_tokens(student, reference, seed):
    """With three tokens at most, nothing ends; the entropy is that of these three."""
    given = (writing(seed, "123."), sums.prompts(problems_like(seed)), [123] * 7, 3)
    truth = reference.ask(measured, *given)
    student.ask(measured, *given).equals(truth, **CLOSE)


@task("evaluate")
@needs("test_a_model_of_the_course")
def test_dropout_and_the_mode(student, reference, seed):
    """Dropout is out of play, and the model comes back in the mode it was in."""
    model = pretrained("sums_warm")
    problems = problems_like(seed, 20)
    given = (tiny_of(model.config, model.state_dict()), sums.prompts(problems), problems.sum(1).tolist(), 8)
    for training in (True, False):
        truth = reference.ask(measured_of_a_model, *given, training, 0.4)
        student.ask(measured_of_a_model, *given, training, 0.4).equals(truth, **CLOSE)


@task("evaluate")
@needs("test_a_model_of_the_course")
def test_answers_for_each_prompt(student, seed):
    """As many answers as prompts, and at least one: all else is refused."""
    prompts = sums.prompts(problems_like(seed))
    student.ask(measured, logits_of(seed), prompts, [1] * 6, 8).refused()
    student.ask(measured, logits_of(seed), prompts, [1] * 8, 8).refused()
    student.ask(measured, logits_of(seed), prompts[:0], [], 8).refused()


# ------------------------------------------------------------------------------------------------- both ways to improve

A_ROUND = 1024


class Problems:
    """Prompts that the grader hands out, and counts."""

    def __init__(self, draw):
        self.draw, self.used, self.known = draw, 0, set()

    def __call__(self, n):
        if not isinstance(n, int) or n < 1:
            raise WrongAnswer("problems(n) takes a whole number of prompts, at least 1.")
        self.used += n
        prompts = self.draw(n)
        self.known |= set(map(tuple, prompts.tolist()))
        return prompts

    def served(self):
        """What to pass to an ask."""
        return Counted(self, 100_000, "calls of problems")


class Payer:
    """A reward function that the grader holds: counts completions, and pays for each what `pays` says."""

    def __init__(self, pays, budget, run=None):
        self.pays, self.budget, self.run = pays, budget, run
        self.used, self.calls, self.paid, self.due = 0, [], [], 0

    def __call__(self, prompts, completions, mask):
        fits = all(isinstance(x, torch.Tensor) and x.ndim == 2 and len(x) == len(prompts) for x in (completions, mask))
        if not fits or completions.shape != mask.shape or mask.dtype != torch.bool:
            raise WrongAnswer(
                "The reward function takes prompts (M, 6), completions (M, R) and their bool mask (M, R)."
            )
        if completions.shape[1] > LONGEST:
            raise WrongAnswer(f"A completion here has at most {LONGEST} tokens.")
        self.used += len(prompts)
        if self.used > self.budget:
            raise BudgetExceeded(f"the {self.budget} completions are spent")
        rewards = self.pays(prompts, completions, mask)
        self.calls.append((prompts, completions, mask))
        self.paid.append((float(rewards.sum()), len(rewards)))
        if self.run is not None:
            self._tell()
        return rewards

    def served(self):
        """What to pass to an ask."""
        return Counted(self, self.budget + 1, "calls of the reward function")

    def _tell(self):
        """How far it has come; and about twenty points of a curve, each the mean over what came since the last."""
        self.run.progress(self.used, self.budget)
        if self.used >= self.due:
            total, count = (sum(column) for column in zip(*self.paid, strict=True))
            self.run.measured(self.used, total / count)
            self.paid, self.due = [], self.used + self.budget / 20


def two_kinds(n):
    """Prompts of two kinds, in turns; a number at the end makes 64 different ones of them."""
    prompts = torch.tensor([[1, 10, 2, 3, 4, 11], [2, 10, 2, 3, 4, 11]]).repeat(n, 1)[:n]
    prompts[:, 2] = torch.arange(n) % 32 // 4
    prompts[:, 3] = torch.arange(n) % 4
    return prompts


def pays_first(seed):
    """What begins an answer well, for either kind; and the reward that says so."""
    paid = torch.randperm(10, generator=torch.Generator().manual_seed(seed))[:2]
    return paid, lambda prompts, completions, mask: (completions[:, 0] == paid[prompts[:, 0] - 1]).float()


def finds_a_paid_token(student, run, algorithm):
    model = fresh(run.seed, SMALL)
    paid, pays = pays_first(run.seed)
    payer = Payer(pays, 40 * A_ROUND, run)
    run.draws("mean reward of the sampled answers", "completions")
    described = tiny_of(SMALL, model.state_dict())
    student.ask(improved, algorithm, described, Problems(two_kinds).served(), payer.served(), 40, run.seed)
    take_weights(model, student.ask(trained_weights).value)
    with torch.no_grad():
        chances = model(two_kinds(2))[:, -1].softmax(-1)[:, paid]  # (2, 2)
    run.reaches("smaller probability of a paid token", chances.diagonal().min().item(), at_least=0.8)


def counts_rounds(student, seed, algorithm):
    """The problems and the payer after two rounds, once the rules that hold for both algorithms are seen to hold."""
    model, pays = fresh(seed, SMALLEST), pays_first(seed)[1]
    # Something is paid for length as well, or nobody would notice a mask that does not end.
    payer = Payer(lambda *asked: pays(*asked) + 0.1 * asked[2].sum(1), 2 * A_ROUND)
    problems, described = Problems(two_kinds), tiny_of(SMALLEST, model.state_dict())
    in_eval = not student.ask(improved, algorithm, described, problems.served(), payer.served(), 2, seed).value
    weights = student.ask(trained_weights).value
    assert payer.calls, "The reward function was not asked."
    assert in_eval, "The model should come back in eval mode."
    for asked, completions, mask in payer.calls:
        prompts = set(map(tuple, asked.tolist()))
        assert prompts <= problems.known, "Your training does not use the problems it is given."
        ended = ((completions == sums.EOS) & mask).long()
        assert mask.equal(ended.cumsum(1) - ended == 0), "A completion's mask ends with its first end, or never."
        assert not (completions[mask] == sums.PAD).any(), "Padding was written."
    assert changed(model.state_dict(), weights) > 0, "No weight has moved."
    return problems, payer


def repeats(student, seed, algorithm):
    model, ends = fresh(seed, SMALLEST), []
    described = tiny_of(SMALLEST, model.state_dict())
    for number, each in enumerate((seed, seed, seed + 1)):
        payer = Payer(pays_first(seed)[1], A_ROUND)
        asked = (algorithm, described, Problems(two_kinds).served(), payer.served(), 1, each, 100 + number)
        student.ask(improved, *asked)
        ends.append(student.ask(trained_weights).value)
    assert changed(model.state_dict(), ends[0]) > 0, "No weight has moved."
    assert changed(ends[0], ends[1]) == 0, "One seed gave two models: what else was drawn from?"
    assert changed(ends[0], ends[2]) > 0, "Two seeds gave one model."


def draws_from_the_policy(student, seed, algorithm):
    model, pays = fresh(seed, SMALLEST), pays_first(seed)[1]
    with torch.no_grad():
        model.lm_head.weight *= 3  # a model of strong opinions: its answers tell the temperature
    payer, problems = Payer(pays, A_ROUND), Problems(two_kinds)
    described = tiny_of(SMALLEST, model.state_dict())
    student.ask(improved, algorithm, described, problems.served(), payer.served(), 1, seed)
    weights = student.ask(trained_weights).value
    assert payer.calls, "The reward function was not asked."
    asked, completions, mask = payer.calls[0]
    with torch.no_grad():
        logits = model(torch.cat([asked, completions], 1))[:, asked.shape[1] - 1 : -1]
        logits[:, :, sums.PAD] = -1e9
        said = logits.log_softmax(-1)  # (M, R, V)
        p = said.exp()
        expected = (p * said).sum(-1)  # (M, R)  minus the entropy
        variance = (p * said.square()).sum(-1) - expected.square()
        found = said.gather(2, completions[..., None])[..., 0]
        off = (found - expected)[mask].sum() / variance[mask].sum().sqrt()
    assert abs(off) < 5, "The answers are not samples of the policy."  # five standard errors of a sum of surprises
    assert changed(model.state_dict(), weights) > 0, "No weight has moved."


def improves_on_sums(student, run, algorithm, rounds, at_least):
    """What the grader measures of a model that was trained on sums in disguise."""
    training = sums.split()[0]
    names = renamed(run.seed)
    back = names.argsort()
    generator = torch.Generator().manual_seed(run.seed + 1000)

    def draw(n):
        return names[sums.prompts(training[torch.randint(len(training), (n,), generator=generator)])]

    def pays(asked, completions, mask):
        digits = back[asked.clamp(0, 13)]
        pairs = torch.stack([digits[:, 0] * 10 + digits[:, 1], digits[:, 3] * 10 + digits[:, 4]], dim=1)
        return sums.exact(pairs, back[completions.clamp(0, 13)].masked_fill(~mask, sums.PAD)).float()

    model = pretrained("sums_warm")
    start = copy.deepcopy(model)
    take_weights(start, in_disguise(model, names))
    payer = Payer(pays, rounds * A_ROUND, run)
    run.draws("mean reward of the sampled answers", "completions")
    described = tiny_of(model.config, start.state_dict())
    student.ask(improved, algorithm, described, Problems(draw).served(), payer.served(), rounds, run.seed)
    take_weights(model, student.ask(trained_weights).value)

    exact, ended = (each.float().mean().item() for each in held_out_answers(model, names))
    entropy, distance = sure_and_far(model, start, names)
    run.reaches("share of answers that end", ended)
    run.reaches("entropy", entropy, unit=" nats a token")
    run.reaches("KL to the start", distance, unit=" nats an answer")
    run.reaches("share of exact held-out sums", exact, at_least=at_least)
    assert ended >= 0.99, "Too many answers do not end."
    assert entropy >= 0.002, "The model has become so certain that it could not learn anything more."
    assert distance <= 10, "The model is too far from where it started."


def sure_and_far(model, start, names):
    """Over drawn answers to 512 held-out sums: entropy (nats a token), and KL(model || start), summed over an answer."""
    asked = names[sums.prompts(sums.split()[1][:512])]
    everything = torch.ones_like(asked, dtype=torch.bool)
    chance = torch.Generator().manual_seed(5)
    written, mask = generate(model, asked, everything, LONGEST, sums.EOS, sums.PAD, generator=chance)
    with torch.no_grad():
        new, old = (each(torch.cat([asked, written], 1))[:, asked.shape[1] - 1 : -1] for each in (model, start))
        for logits in (new, old):
            logits[:, :, sums.PAD] = -1e9
        new, old = new.log_softmax(-1), old.log_softmax(-1)
    entropy = -(new.exp() * new).sum(-1)[mask].mean().item()
    return entropy, ((new.exp() * (new - old)).sum(-1) * mask).sum(1).mean().item()


# --------------------------------------------------------------------------------------------------------- improve_grpo


@task("improve_grpo")
@graded_run(cpu_seconds=60)
def test_grpo_finds_a_paid_token(student, run):
    """Two kinds of prompts, and a token each that is paid if the answer begins with it: after 40 rounds each is found."""
    finds_a_paid_token(student, run, "improve_grpo")


@task("improve_grpo")
@needs("test_grpo_finds_a_paid_token")
def test_grpo_keeps_its_budget(student, seed):
    """At most 1,024 completions a round, to prompts that were given, with masks that end at the end; then eval mode."""
    counts_rounds(student, seed, "improve_grpo")


@task("improve_grpo")
@needs("test_grpo_finds_a_paid_token")
def test_a_seed_fixes_grpo(student, seed):
    """Two trainings with one seed end at the same weights, whatever was drawn elsewhere; with another seed they do not."""
    repeats(student, seed, "improve_grpo")


@task("improve_grpo")
@needs("test_grpo_finds_a_paid_token")
def test_grpo_draws_from_its_policy(student, seed):
    """In the first round the answers are samples of the model as it came, at temperature 1."""
    draws_from_the_policy(student, seed, "improve_grpo")


@task("improve_grpo")
@needs("test_grpo_finds_a_paid_token")
def test_answers_compete_with_answers_to_the_same_prompt(student, seed):
    """Where only the prompt decides what is paid, the weights stay; and a reward that is larger by 1 teaches the same."""
    model, ends = fresh(seed, SMALLEST), []
    start, first = model.state_dict(), pays_first(seed)[1]
    by_prompt = lambda prompts, completions, mask: prompts[:, 0] - 1.0  # noqa: E731
    for pays in (by_prompt, first, lambda *asked: first(*asked) + 1):
        payer, problems = Payer(pays, A_ROUND), Problems(two_kinds)
        given = (tiny_of(SMALLEST, start), problems.served(), payer.served(), 1, seed)
        student.ask(improved, "improve_grpo", *given)
        ends.append(student.ask(trained_weights).value)
    moved = changed(start, ends[1])
    assert moved > 0, "No weight has moved."
    assert changed(start, ends[0]) < 0.01 * moved, (
        "All answers to a prompt were paid the same, and still it was learnt."
    )
    assert changed(ends[1], ends[2]) < 0.1 * moved, "A reward that is larger by 1 for all taught something else."


@task("improve_grpo")
@weight(4)
@needs("test_grpo_finds_a_paid_token")
@graded_run(cpu_seconds=400)
def test_grpo_teaches_itself_to_add(student, run):
    """After 120 rounds 90% of the held-out sums are exact and 99% end; the model is not certain, nor too far away."""
    improves_on_sums(student, run, "improve_grpo", 120, 0.90)


# ---------------------------------------------------------------------------------------------------------- improve_ppo


@task("improve_ppo")
@graded_run(cpu_seconds=60)
def test_ppo_finds_a_paid_token(student, run):
    """Two kinds of prompts, and a token each that is paid if the answer begins with it: after 40 rounds each is found."""
    finds_a_paid_token(student, run, "improve_ppo")


@task("improve_ppo")
@needs("test_ppo_finds_a_paid_token")
def test_ppo_keeps_its_budget(student, seed):
    """At most 1,024 completions a round, and no more than problems were drawn: each is answered once."""
    problems, payer = counts_rounds(student, seed, "improve_ppo")
    assert problems.used >= payer.used, "There were more completions than problems: each is answered once here."


@task("improve_ppo")
@needs("test_ppo_finds_a_paid_token")
def test_a_seed_fixes_ppo(student, seed):
    """Two trainings with one seed end at the same weights, whatever was drawn elsewhere; with another seed they do not."""
    repeats(student, seed, "improve_ppo")


@task("improve_ppo")
@needs("test_ppo_finds_a_paid_token")
def test_ppo_draws_from_its_policy(student, seed):
    """In the first round the answers are samples of the model as it came, at temperature 1."""
    draws_from_the_policy(student, seed, "improve_ppo")


@task("improve_ppo")
@weight(4)
@needs("test_ppo_finds_a_paid_token")
@graded_run(cpu_seconds=300)
def test_ppo_teaches_itself_to_add(student, run):
    """After 30 rounds 55% of the held-out sums are exact and 99% end; the model is not certain, nor too far away."""
    improves_on_sums(student, run, "improve_ppo", 30, 0.55)


# --------------------------------------------------------------------------------------------------------- write_report


def made(seed, n=3, looks=5):
    """Results of n seeds that differ in every number."""
    draw = torch.Generator().manual_seed(seed)

    def numbers(*shape):
        return torch.rand(*shape, generator=draw, dtype=torch.float64).mul(1000).round().div(1000).tolist()

    return {
        "seeds": list(range(n)),
        "accuracy": {name: numbers(n) for name in ("warm", "grpo", "ppo")},
        "completions": [1024 * (i + 1) for i in range(looks)],
        "reward": {name: numbers(n, looks) for name in ("grpo", "ppo")},
        "surprise": {name: numbers(n, looks) for name in ("grpo", "ppo")},
    }


NAMES = ["accuracy.png", "reward.png", "surprise.png", "report.json"]


def over_seeds(numbers):
    numbers = torch.tensor(numbers, dtype=torch.float64)
    return numbers.mean(0), numbers.std(0)


def near(points, wanted, atol=2e-5):
    """Points of a figure, which matplotlib rounds to float32 on its way."""
    return len(points) == len(wanted) and bool((torch.tensor(points) - torch.tensor(wanted)).abs().max() <= atol)


@task("write_report")
@weight(2)
def test_four_files(student, seed):
    """Three pictures and report.json in a folder that is made; their names come back in order; no figure is left open."""
    found = student.ask(reported, made(seed), "a/new/folder").value
    assert sorted(found["files"]) == sorted(NAMES), "There should be four files in the folder, and nothing else."
    assert found["returned"] == NAMES, "The names of the four files should come back, in the order of the handout."
    for name in NAMES[:3]:
        assert name in found["figures"], "A figure is missing."
        assert found["figures"][name]["width"] >= 200, "A picture is too small."
        assert found["figures"][name]["colours"] > 5, "A picture is empty."
        assert found["figures"][name]["axes"] == [True, True], "Name both axes of each figure."
    assert found["open"] == 0, "A figure was left open."


@task("write_report")
@weight(2)
def test_the_numbers_of_the_report(student, reference, seed):
    """report.json holds means and standard deviations (ddof 1) over seeds, and the looks."""
    results = made(seed, 3 + seed % 3)
    truth = reference.ask(reported, results, "folder").value["json"]
    answer = student.ask(reported, results, "folder").value
    assert answer["returned"] == NAMES, "The names of the four files should come back, in the order of the handout."
    found = answer["json"]
    for name in ("warm", "grpo", "ppo"):
        both = [[float(each["accuracy"][name][what]) for what in ("mean", "std")] for each in (found, truth)]
        assert near(*both, atol=1e-9), "An accuracy is off."
    for name in ("reward", "surprise"):
        for algorithm in ("grpo", "ppo"):
            mean, std = ([each[name][algorithm][what] for each in (found, truth)] for what in ("mean", "std"))
            assert near(*mean, atol=1e-9), "The mean of a curve is off."
            assert near(*std, atol=1e-9), "The standard deviation of a curve is off."
    assert found["completions"] == truth["completions"], "The looks are missing."


@task("write_report")
@needs("test_the_numbers_of_the_report")
def test_bars_curves_and_bands(student, seed):
    """Bars are means; each curve is a mean over seeds, with a band of one standard deviation to both sides."""
    results = made(seed, 4)
    found = student.ask(reported, results, "folder").value["figures"]
    heights = [float(over_seeds(shares)[0]) for shares in results["accuracy"].values()]
    assert any(near(bars, heights) for bars in found["accuracy.png"]["bars"]), "The bars are not the means."
    for name in ("reward", "surprise"):
        for runs in results[name].values():
            mean, std = over_seeds(runs)
            line = [[float(x), float(y)] for x, y in zip(results["completions"], mean, strict=True)]
            assert any(near(each, line) for each in found[f"{name}.png"]["lines"]), "A mean curve is missing."
            sides = zip(results["completions"] * 2, torch.cat([mean - std, mean + std]), strict=True)
            corners = sorted([float(x), float(y)] for x, y in sides)
            assert any(near(each, corners) for each in found[f"{name}.png"]["bands"]), "A band is missing."


@task("write_report")
@needs("test_the_numbers_of_the_report")
def test_what_does_not_fit_together(student, seed):
    """One seed, an accuracy too few, a curve too few or too short: refused, and nothing is written."""
    bad = [made(seed, 1), *(made(seed) for _ in range(4))]
    bad[1]["accuracy"]["ppo"].pop()
    bad[2]["reward"]["grpo"].pop()
    bad[3]["surprise"]["ppo"][seed % 3].pop()
    bad[4]["reward"]["ppo"][seed % 3].append(0.5)
    for results in bad:
        left = student.ask(files_after_refusal, results, "folder").value
        assert left is not None, "Results were reported that do not fit together."
        assert left == [], "Nothing should be written where a report is refused."
