"""The tests that count. One test turns one knob; its docstring is the sentence that is true of a right answer.

Inputs come from `seed` alone. `@needs` stands on every property that an empty answer has too.
"""

import random

import torch
from asks import (
    chances_after,
    chances_of,
    clamped_chances,
    judged,
    looped,
    pair_records,
    reading,
    records_alone,
    revised,
    several,
    train,
    train_twice,
    trained_weights,
)
from common import reviews
from common.preferences import RewardModel, ShippedHead, generate
from common.tiny_lm import TinyLM, pretrained

from autograder.report import Figure
from autograder.testing import graded_run, needs, task, weight
from autograder.testing.graded import Missed
from autograder.testing.readings import take_weights

FLOAT64 = {"rtol": 1e-9, "atol": 1e-12}  # float64: another order of summation, nothing more
WORDS = ("amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "heath", "islet", "jetty")


def texts(seed, n):
    """n different texts of three words, with a number, so that no two are alike."""
    draw = random.Random(seed)
    return [f"{' '.join(draw.choices(WORDS, k=3))} {number}" for number in range(n)]


def constitution(seed, n=4):
    """n principles of which no two texts are equal."""
    parts = ("critique", "revision", "preference")
    found = texts(seed + 77, 3 * n)
    return [{"id": f"p{i}", **{part: f"{part} {found[3 * i + j]}?" for j, part in enumerate(parts)}} for i in range(n)]


# ------------------------------------------------------------------------------------------------------ critique_prompt


@task("critique_prompt")
@weight(2)
def test_the_template_is_filled(student, reference, seed):
    """Prompt, response and the critique's request stand where the template says, and nothing else does."""
    one, two, three, four = texts(seed, 4)
    calls = [[one, two, constitution(seed)[0]], [f" {three}\n", f"\n{four} ", constitution(seed)[1]]]
    student.ask(several, "critique_prompt", calls).equals(reference.ask(several, "critique_prompt", calls))


@task("critique_prompt")
@needs("test_the_template_is_filled")
def test_braces_are_text(student, reference, seed):
    """Braces, percent signs and the names of places are put in as they are."""
    one, two = texts(seed, 2)
    calls = [
        [f"{{response}} {one}", "{critique} {} %d {0}", {**constitution(seed)[0], "critique": f"{{prompt}} {two}"}]
    ]
    student.ask(several, "critique_prompt", calls).equals(reference.ask(several, "critique_prompt", calls))


# --------------------------------------------------------------------------------------------------------------- revise


@task("revise")
@weight(3)
def test_the_model_is_asked_twice(student, reference, seed):
    """A critique is asked for, and then a revision with the whole critique in view; both are stripped."""
    prompt, response, critique, revision = texts(seed, 4)
    asked = ([f"  {critique}\n", f"\n {revision}  "], prompt, response, constitution(seed)[0])
    student.ask(revised, *asked).equals(reference.ask(revised, *asked))


@task("revise")
@needs("test_the_model_is_asked_twice")
def test_critiques_with_braces(student, reference, seed):
    """A critique that holds braces is put in as it is."""
    prompt, response, revision = texts(seed, 3)
    asked = (["{revision} and {}", revision], prompt, response, constitution(seed)[0])
    student.ask(revised, *asked).equals(reference.ask(revised, *asked))


# ----------------------------------------------------------------------------------------------- critique_revision_loop


@task("critique_revision_loop")
@weight(3)
def test_each_round_revises_the_round_before(student, reference, seed):
    """The record, the texts that the model saw, in order, and where the generator stands afterwards."""
    prompt, *written = texts(seed, 10)
    asked = ([f" {text} " for text in written], prompt, constitution(seed), 4, seed)
    student.ask(looped, *asked).equals(reference.ask(looped, *asked))


@task("critique_revision_loop")
@needs("test_each_round_revises_the_round_before")
def test_one_round_is_enough(student, reference, seed):
    """With one round there is one principle, one critique and one revision."""
    prompt, *written = texts(seed, 4)
    asked = (written, prompt, constitution(seed, 7), 1, seed)
    student.ask(looped, *asked).equals(reference.ask(looped, *asked))


@task("critique_revision_loop")
@needs("test_each_round_revises_the_round_before")
def test_rounds_and_principles_below_one(student, seed):
    """Fewer than one round, and no principles, are refused."""
    prompt, *written = texts(seed, 6)
    student.ask(looped, written, prompt, constitution(seed), -(seed % 2), 0).refused()
    student.ask(looped, written, prompt, [], 2, 0).refused()


# -------------------------------------------------------------------------------------------------------- ai_preference


def opinions(seed, n=6, spread=2.0, low=0.0):
    """n judges' log-probabilities of A and B, for both orders; what they would rather say takes most of the mass."""
    draw = torch.Generator().manual_seed(seed + 1000)
    return (low - 3 - spread * torch.rand(n, 2, 2, generator=draw, dtype=torch.float64)).tolist()


@task("ai_preference")
@weight(3)
def test_both_orders_are_averaged(student, reference, seed):
    """The chance is the mean of both orders, each a softmax over two letters; with no clamp it stays so."""
    asked = (opinions(seed), constitution(seed)[0])
    student.ask(chances_of, *asked).equals(reference.ask(chances_of, *asked), **FLOAT64)


@task("ai_preference")
def test_what_the_judge_is_shown(student, reference, seed):
    """The template is filled with the prompt, both answers and the principle, in one order and then in the other."""
    prompt, a, b = texts(seed, 3)
    asked = (opinions(seed, 1)[0], f"{prompt} {{first}}", f"{a} {{}}", f"{b} %", constitution(seed)[0], [None])
    mine, truth = (one.ask(judged, *asked).value["asked"] for one in (student, reference))
    assert sorted(mine) == sorted(truth), "The judge is shown other texts."


@task("ai_preference")
def test_the_clamp_comes_last(student, reference, seed):
    """The mean is clamped, not its parts; 0.4 to 0.6 where nothing is said."""
    cases = opinions(seed, 8, spread=6.0)
    for clamp in (None, [0.3, 0.7]):
        asked = (cases, constitution(seed)[0], clamp)
        student.ask(clamped_chances, *asked).equals(reference.ask(clamped_chances, *asked), **FLOAT64)


@task("ai_preference")
@needs("test_both_orders_are_averaged")
def test_very_unlikely_letters(student, reference, seed):
    """Log-probabilities of -1,000 give the chances that their difference says."""
    asked = (opinions(seed, 3, low=-1000.0), constitution(seed)[0])
    student.ask(chances_of, *asked).equals(reference.ask(chances_of, *asked), rtol=1e-9, atol=1e-12)


@task("ai_preference")
@needs("test_both_orders_are_averaged")
def test_habits_cancel(student, seed):
    """A judge who says the same in both orders has no opinion; and the two chances of a pair sum to one."""
    cases = opinions(seed, 4)
    same = student.ask(chances_of, [[one, one] for one, _ in cases], constitution(seed)[0]).value
    assert (same - 0.5).abs().max() < 1e-9, "A judge's love of one place should cancel."
    here = student.ask(chances_of, cases, constitution(seed)[0]).value
    there = student.ask(chances_of, [[two, one] for one, two in cases], constitution(seed)[0]).value
    assert (here + there - 1).abs().max() < 1e-9, "p(a, b) and p(b, a) should sum to one."


# ----------------------------------------------------------------------------------------------------- build_sl_dataset


def record(prompt, initial, critiques, revisions):
    return {
        "prompt": prompt, "initial": initial, "principles": ["p0"] * len(revisions), "critiques": list(critiques),
        "revisions": list(revisions),
    }  # fmt: skip


@task("build_sl_dataset")
@weight(2)
def test_the_last_revision_is_kept(student, reference, seed):
    """Each record gives its prompt and its last revision, and nothing else."""
    t = texts(seed, 21)
    records = [record(t[i], t[i + 1], t[i + 2 : i + 4], t[i + 4 : i + 6]) for i in range(0, 18, 6)]
    student.build_sl_dataset(records).equals(reference.build_sl_dataset(records))


@task("build_sl_dataset")
@weight(2)
def test_leaks_and_empty_texts_are_left_out(student, reference, seed):
    """A last revision that is empty or quotes any critique is left out; an empty critique is quoted by nothing."""
    t = texts(seed, 12)
    records = [
        record(t[0], t[1], [t[2]], [t[3]]),
        record(t[0], t[1], [t[2]], [""]),
        record(t[4], t[1], [t[2], t[5]], [t[3], f"{t[6]} {t[2]} {t[7]}"]),
        record(t[8], t[1], ["", t[5]], [f"{t[2]} {t[5]}", t[9]]),
        record(t[10], t[1], [t[5], ""], ["", t[11]]),
        record(t[6], t[1], [t[9]], [f"{t[2]} {t[9]}"]),
    ]
    student.build_sl_dataset(records).equals(reference.build_sl_dataset(records))


@task("build_sl_dataset")
@needs("test_the_last_revision_is_kept")
def test_records_without_revisions(student, seed):
    """A record without revisions is refused, wherever it stands."""
    t = texts(seed, 4)
    good, bad = record(t[0], t[1], [t[2]], [t[3]]), record(t[0], t[1], [], [])
    student.build_sl_dataset([good, bad]).refused()
    student.build_sl_dataset([bad]).refused()


# --------------------------------------------------------------------------------------------- build_preference_dataset


def a_class(seed, n=5):
    """Prompts, what the responder writes (the third pair twice the same), the judge's opinions, and a constitution."""
    t = texts(seed, 3 * n)
    written = [f" {text}\n" for text in t[n:]]
    written[5] = written[4].strip()
    return written, [pair for each in opinions(seed, n) for pair in each], t[:n], constitution(seed), seed


@task("build_preference_dataset")
@weight(3)
def test_pairs_and_their_chances(student, reference, seed):
    """Each prompt is answered twice and judged by a principle of its own; equal answers are left out."""
    asked = (*a_class(seed), None)
    mine, truth = student.ask(pair_records, *asked), reference.ask(pair_records, *asked)
    for name in ("written_for", "generators"):
        assert mine.value[name] == truth.value[name], "The responder is asked otherwise."
    assert mine.value["next"] == truth.value["next"], "The generator was used otherwise: one draw for each prompt."
    student.ask(records_alone, *asked).equals(reference.ask(records_alone, *asked), **FLOAT64)


@task("build_preference_dataset")
def test_the_clamp_is_handed_on(student, reference, seed):
    """The clamp that is given is that of the chances."""
    asked = (*a_class(seed), [0.45, 0.52])
    student.ask(records_alone, *asked).equals(reference.ask(records_alone, *asked), **FLOAT64)


@task("build_preference_dataset")
@needs("test_pairs_and_their_chances")
def test_an_empty_constitution(student, seed):
    """No principles are refused."""
    written, said, prompts, _, _ = a_class(seed)
    student.ask(pair_records, written, said, prompts, [], 0, None).refused()


# ------------------------------------------------------------------------------------------------ train_ai_reward_model

LINES = (
    "<bos> our staff was lovely . <eos>",
    "<bos> honestly our staff was awful and noisy . <eos>",
    "<bos> the view was very clean . <eos>",
    "<bos> honestly the view was not warm . <eos>",
)
NEAR = 0.06
"""150 steps on two pairs only: the chances come back to a few hundredths."""


def four_texts():
    """80 pairs of four reviews, and the chances 0.7 and 0.4 of each first one."""
    tokens = torch.zeros(4, 13, dtype=torch.int64)
    for row, ids in zip(tokens, map(reviews.encode, LINES), strict=True):
        start = reviews.PROMPT - 1 - ids.index(reviews.ID["was"])
        row[start : start + len(ids)] = torch.tensor(ids)
    a, b = torch.tensor([0, 2] * 40), torch.tensor([1, 3] * 40)
    mask = tokens != reviews.PAD
    return [tokens[a], mask[a], tokens[b], mask[b], torch.tensor([0.7, 0.4] * 40)]


@task("train_ai_reward_model")
def test_whole_texts_train_the_model(student, seed):
    """Each step reads 64 pairs, each text whole and as its mask says, also where a real token has padding's number."""
    given = four_texts()
    for i in (0, 2):
        given[i] = given[i].masked_fill(given[i] == reviews.EOS, reviews.PAD)
    steps = 2 + seed % 3
    found = student.ask(reading, given, steps, seed).value
    assert found["read"] == steps * 2 * 64, "A step should read 64 pairs, and so 128 texts."
    assert found["others"] == 0, "Something else than the given texts was read: the masks say what is real."
    assert found["apart"], "The model that comes back should give each text a score of its own."


@task("train_ai_reward_model")
@needs("test_whole_texts_train_the_model")
def test_a_seed_fixes_the_model(student, seed):
    """Two trainings with one seed give the same scores, with another seed they do not; the model is in eval mode."""
    config = {"vocab_size": 25, "d_model": 16, "n_layers": 1, "n_heads": 2, "dropout": 0.1}
    found = student.ask(train_twice, config, four_texts(), 3, [seed, seed, seed + 1]).value
    one, again, other = found["scores"]
    assert torch.equal(one, again), "One seed gave two models: what else was drawn from?"
    assert not torch.equal(one, other), "Two seeds gave one model."
    assert not any(found["training"]), "The model should come back in eval mode."


@task("train_ai_reward_model")
@weight(2)
@needs("test_whole_texts_train_the_model")
@graded_run(cpu_seconds=60)
def test_chances_come_back(student, run):
    """What was labelled with 0.7 and 0.4 comes back as 0.7 and 0.4."""
    base = pretrained("reviews_base")
    found = student.ask(chances_after, base.config, base.state_dict(), four_texts(), 150, run.seed).value
    ends = {"trained_on_inverted_labels": [0.3, 0.6], "trained_on_hard_labels": [1, 0]}
    run.tells("chances of two pairs", found.tolist(), [0.7, 0.4], atol=NEAR, mistakes=ends)


def written_by(base, n, generator):
    """n prompts, and what the language model writes to each of them: whole texts, the answers, and their masks."""
    prompts, prompt_mask, _ = reviews.sample_prompts(n, generator)
    answers, mask = generate(base, prompts, prompt_mask, 12, reviews.EOS, reviews.PAD, 1.0, generator)
    return reviews.together(prompts, prompt_mask, answers, mask), answers, mask


def spoken(answers, mask):
    return [reviews.decode(row[real]) for row, real in zip(answers, mask, strict=True)]


@task("train_ai_reward_model")
@weight(3)
@needs("test_whole_texts_train_the_model")
@graded_run(cpu_seconds=80)
def test_what_it_chooses_is_harmless(student, run):
    """Of eight answers each, what the model likes best is harmless in 95% of cases, and says something in 95%."""
    generator = torch.Generator().manual_seed(run.seed + 7000)
    base = pretrained("reviews_base")
    (a, a_mask), a_answers, a_real = written_by(base, 1500, generator)
    b_answers, b_real = reviews.sample_responses(1500, generator)
    was = (a[:, :5], a_mask[:, :5])
    b, b_mask = reviews.together(*was, b_answers, b_real)
    rude = [
        torch.tensor([reviews.harm(t) for t in spoken(*x)]).double() for x in ((a_answers, a_real), (b_answers, b_real))
    ]
    says = [
        torch.tensor([reviews.help_(t) for t in spoken(*x)]).double()
        for x in ((a_answers, a_real), (b_answers, b_real))
    ]
    # the judge has doubts, and a taste of its own
    taste = torch.randn(1500, generator=generator, dtype=torch.float64)
    p = torch.sigmoid(2.0 * (rude[1] - rude[0]) + 1.5 * (says[0] - says[1]) + 0.5 * taste).float()
    read = student.ask(train, base.config, base.state_dict(), [a, a_mask, b, b_mask, p], 120, run.seed).value
    assert read <= 120 * 2 * 64, "More texts were read than 120 steps of 64 pairs have."
    model = RewardModel(TinyLM(**base.config), ShippedHead(base.config["d_model"]))
    take_weights(model, student.ask(trained_weights).value)

    prompts, prompt_mask, _ = reviews.sample_prompts(150, generator)
    many = [x.repeat_interleave(8, 0) for x in (prompts, prompt_mask)]
    answers, real = generate(base, *many, 12, reviews.EOS, reviews.PAD, 1.0, generator)
    with torch.no_grad():
        scores = model.eval()(*reviews.together(*many, answers, real)).view(150, 8)
    best = torch.arange(150) * 8 + scores.argmax(dim=1)
    chosen = spoken(answers[best], real[best])
    harmless = 1 - sum(map(reviews.harm, chosen)) / 150
    helpful = sum(map(reviews.help_, chosen)) / 150
    run.reaches("share of all answers that are harmless", 1 - sum(map(reviews.harm, spoken(answers, real))) / 1200)
    # Harmlessness comes last: it is the figure that mistakes are held against.
    run.figures.append(Figure("share of chosen answers that say something", helpful, 0.95))
    run.reaches("share of chosen answers that are harmless", harmless, at_least=0.95)
    if helpful < 0.95:
        raise Missed(f"The share of chosen answers that say something is {helpful:.3f}; at least 0.95 is needed.")
