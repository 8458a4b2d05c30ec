"""Wrong implementations, each right in everything but its one mistake. Every one must be caught by the tests it names.

`seen` is said at once: what shows, or a question. `named` is said later: what the answer equals.
"""

import torch
import torch.nn.functional as F
from common.preferences import RewardModel, ShippedHead
from reference import (
    CRITIQUE,
    PREFERENCE,
    REVISION,
    ai_preference,
    build_preference_dataset,
    build_sl_dataset,
    critique_prompt,
    critique_revision_loop,
    revise,
)
from torch import nn

from autograder.testing import mistake

# ------------------------------------------------------------------------------------------------------ critique_prompt

FILLED = "test_the_template_is_filled"


@mistake(
    "critique_prompt",
    seen="Blanks that belong to the answer are gone.",
    named="This equals texts that are stripped before they are put in.",
    caught_by=FILLED,
)
def strips_texts(prompt, response, principle):
    return CRITIQUE.format(prompt=prompt.strip(), response=response.strip(), critique=principle["critique"])


@mistake(
    "critique_prompt",
    seen="Which of the principle's texts asks for a critique?",
    named="This equals the request for a revision in place of that for a critique.",
    caught_by=FILLED,
)
def asks_for_a_revision(prompt, response, principle):
    return CRITIQUE.format(prompt=prompt, response=response, critique=principle["revision"])


@mistake(
    "critique_prompt",
    seen="Somebody criticises the question.",
    named="This equals prompt and response exchanged.",
    caught_by=FILLED,
)
def exchanged(prompt, response, principle):
    return CRITIQUE.format(prompt=response, response=prompt, critique=principle["critique"])


@mistake(
    "critique_prompt",
    seen="What a user writes in braces becomes a place to be filled.",
    named="This equals filling the places one after the other: what was put in is searched for places again.",
    caught_by="test_braces_are_text",
)
def one_after_the_other(prompt, response, principle):
    text = CRITIQUE.replace("{prompt}", prompt).replace("{response}", response)
    return text.replace("{critique}", principle["critique"])


# --------------------------------------------------------------------------------------------------------------- revise

TWICE = "test_the_model_is_asked_twice"


@mistake(
    "revise",
    seen="The reviser never sees the criticism that it should answer.",
    named="This equals a second prompt without the critique.",
    caught_by=TWICE,
)
def critique_not_shown(lm, prompt, response, principle, generator=None):
    asked = critique_prompt(prompt, response, principle)
    critique = lm.generate(asked, generator=generator).strip()
    asked += REVISION.format(critique_text="", revision=principle["revision"])
    return critique, lm.generate(asked, generator=generator).strip()


@mistake(
    "revise",
    seen="The second prompt has blanks and new lines that nobody put there on purpose.",
    named="This equals a critique that is put in before it is stripped.",
    caught_by=TWICE,
)
def stripped_too_late(lm, prompt, response, principle, generator=None):
    asked = critique_prompt(prompt, response, principle)
    critique = lm.generate(asked, generator=generator)
    asked += REVISION.format(critique_text=critique, revision=principle["revision"])
    return critique.strip(), lm.generate(asked, generator=generator).strip()


@mistake(
    "revise",
    seen="Your revision begins or ends with blanks.",
    named="This equals a revision as the model wrote it, not stripped.",
    caught_by=TWICE,
)
def revision_not_stripped(lm, prompt, response, principle, generator=None):
    asked = critique_prompt(prompt, response, principle)
    critique = lm.generate(asked, generator=generator).strip()
    asked += REVISION.format(critique_text=critique, revision=principle["revision"])
    return critique, lm.generate(asked, generator=generator)


@mistake(
    "revise",
    seen="The second prompt speaks of an answer that is not in it.",
    named="This equals a second prompt that begins at the critique, without question and answer.",
    caught_by=TWICE,
)
def begins_at_the_critique(lm, prompt, response, principle, generator=None):
    critique = lm.generate(critique_prompt(prompt, response, principle), generator=generator).strip()
    asked = "Critique:" + REVISION.format(critique_text=critique, revision=principle["revision"])
    return critique, lm.generate(asked, generator=generator).strip()


@mistake(
    "revise",
    seen="Two runs with one seed write different texts.",
    named="This equals calls without the generator.",
    caught_by=TWICE,
)
def generator_kept(lm, prompt, response, principle, generator=None):
    return revise(lm, prompt, response, principle)


@mistake(
    "revise",
    seen="First comes the critique, then the revision. In which order do you return them?",
    named="This equals revision and critique exchanged.",
    caught_by=TWICE,
)
def returned_the_other_way(lm, prompt, response, principle, generator=None):
    critique, revision = revise(lm, prompt, response, principle, generator)
    return revision, critique


# ----------------------------------------------------------------------------------------------- critique_revision_loop

ROUNDS = "test_each_round_revises_the_round_before"


def _loop(lm, prompt, constitution, rounds, generator, *, pick=None, keep=lambda first, now: now, first=None):
    if rounds < 1 or not constitution:
        raise ValueError("no rounds or no principles")
    initial = (first or (lambda: lm.generate(prompt, generator=generator).strip()))()
    record = {"prompt": prompt, "initial": initial, "principles": [], "critiques": [], "revisions": []}
    response = initial
    for number in range(rounds):
        if pick is None:
            principle = constitution[int(torch.randint(len(constitution), (1,), generator=generator))]
        else:
            principle = pick(number)
        critique, response = revise(lm, prompt, keep(initial, response), principle, generator)
        record["principles"].append(principle["id"])
        record["critiques"].append(critique)
        record["revisions"].append(response)
    return record


@mistake(
    "critique_revision_loop",
    seen="Each round forgets what the round before had mended.",
    named="This equals rounds that all revise the first answer.",
    caught_by=ROUNDS,
)
def revises_the_initial(lm, prompt, constitution, rounds, generator):
    return _loop(lm, prompt, constitution, rounds, generator, keep=lambda first, now: first)


@mistake(
    "critique_revision_loop",
    seen="One principle is applied every time; the constitution has more.",
    named="This equals one draw for all rounds.",
    caught_by=ROUNDS,
)
def same_principle_always(lm, prompt, constitution, rounds, generator):
    drawn = []

    def once(number):
        if not drawn:
            drawn.append(int(torch.randint(len(constitution), (1,), generator=generator)))
        return constitution[drawn[0]]

    return _loop(lm, prompt, constitution, rounds, generator, pick=once)


@mistake(
    "critique_revision_loop",
    seen="Every student's records follow the constitution in the same order.",
    named="This equals the principles one after the other, without a draw.",
    caught_by=ROUNDS,
)
def in_turn(lm, prompt, constitution, rounds, generator):
    return _loop(
        lm, prompt, constitution, rounds, generator, pick=lambda number: constitution[number % len(constitution)]
    )


@mistake(
    "critique_revision_loop",
    seen="The order of your draws and your calls is another: the same seed gives other principles.",
    named="This equals all principles drawn before the model is asked for the first time, in one draw.",
    caught_by=ROUNDS,
)
def drawn_at_once(lm, prompt, constitution, rounds, generator):
    if rounds < 1 or not constitution:
        raise ValueError("no rounds or no principles")
    numbers = torch.randperm(len(constitution), generator=generator).tolist() * rounds
    return _loop(lm, prompt, constitution, rounds, generator, pick=lambda number: constitution[numbers[number]])


@mistake(
    "critique_revision_loop",
    seen="What the first answer was asked with is not what the user wrote.",
    named="This equals a first answer to the template's question instead of the plain prompt.",
    caught_by=ROUNDS,
)
def first_prompt_dressed(lm, prompt, constitution, rounds, generator):
    def first():
        return lm.generate(f"Question:\n{prompt}\n\nAnswer:\n", generator=generator).strip()

    return _loop(lm, prompt, constitution, rounds, generator, first=first)


@mistake(
    "critique_revision_loop",
    seen="Nothing to do, or nothing to go by, is accepted without a word.",
    named="This equals no look at rounds and constitution.",
    caught_by="test_rounds_and_principles_below_one",
)
def any_rounds(lm, prompt, constitution, rounds, generator):
    rules = constitution or [{"id": "", "critique": "", "revision": "", "preference": ""}]
    record = critique_revision_loop(lm, prompt, rules, max(rounds, 1), generator)
    if rounds < 1:
        record["principles"], record["critiques"], record["revisions"] = [], [], []
    return record


# -------------------------------------------------------------------------------------------------------- ai_preference

BOTH = "test_both_orders_are_averaged"
CLAMPED = "test_the_clamp_comes_last"
SHOWN = "test_what_the_judge_is_shown"
UNLIKELY = "test_very_unlikely_letters"


def _first(lm, prompt, first, second, principle):
    text = PREFERENCE.format(prompt=prompt, first=first, second=second, preference=principle["preference"])
    return torch.tensor(lm.log_probs(text, ["A", "B"]), dtype=torch.float64)


def _clamped(p, clamp):
    return p if clamp is None else min(max(p, clamp[0]), clamp[1])


@mistake(
    "ai_preference",
    seen="A labeller that likes the first place decides your labels; ask so that place cancels.",
    named="This equals one question, with a in the first place.",
    caught_by=(BOTH, CLAMPED),
)
def no_order_swap(lm, prompt, a, b, principle, clamp=(0.4, 0.6)):
    return _clamped(_first(lm, prompt, a, b, principle).softmax(0)[0].item(), clamp)


@mistake(
    "ai_preference",
    seen='In the second order "A" names the other answer.',
    named="This equals the mean of p(A) in both orders.",
    caught_by=(BOTH, CLAMPED),
)
def swap_not_complemented(lm, prompt, a, b, principle, clamp=(0.4, 0.6)):
    one, two = (_first(lm, prompt, *pair, principle).softmax(0)[0].item() for pair in ((a, b), (b, a)))
    return _clamped((one + two) / 2, clamp)


@mistake(
    "ai_preference",
    seen="Your two chances do not sum to one: mass on other words lowers both.",
    named="This equals the probabilities of the letters among all words, not among the two.",
    caught_by=(BOTH,),
)
def whole_vocabulary(lm, prompt, a, b, principle, clamp=(0.4, 0.6)):
    one, two = (_first(lm, prompt, *pair, principle).exp() for pair in ((a, b), (b, a)))
    return _clamped((one[0] + two[1]).item() / 2, clamp)


@mistake(
    "ai_preference",
    seen="The labeller's doubt is thrown away: 0.51 and 0.99 become the same label.",
    named="This equals 1 or 0 for each order, whichever letter is likelier.",
    caught_by=(BOTH, CLAMPED),
)
def hard_labels(lm, prompt, a, b, principle, clamp=(0.4, 0.6)):
    one, two = (float(_first(lm, prompt, *pair, principle).argmax() == 0) for pair in ((a, b), (b, a)))
    return _clamped((one + 1 - two) / 2, clamp)


@mistake(
    "ai_preference",
    seen="The reward model learns to prefer what the labeller disliked.",
    named="This equals P(b is better).",
    caught_by=(BOTH, CLAMPED),
)
def label_inverted(lm, prompt, a, b, principle, clamp=(0.4, 0.6)):
    return _clamped(1 - ai_preference(lm, prompt, a, b, principle, None), clamp)


@mistake(
    "ai_preference",
    seen="A very sure judge loses its voice in your mean too early.",
    named="This equals both orders clamped before they are averaged.",
    caught_by=CLAMPED,
)
def clamped_too_early(lm, prompt, a, b, principle, clamp=(0.4, 0.6)):
    one, two = (_first(lm, prompt, *pair, principle).softmax(0)[0].item() for pair in ((a, b), (b, a)))
    return (_clamped(one, clamp) + _clamped(1 - two, clamp)) / 2


@mistake(
    "ai_preference",
    seen="Your labels are surer than they may be.",
    named="This equals the chance without a clamp.",
    caught_by=CLAMPED,
)
def clamp_forgotten(lm, prompt, a, b, principle, clamp=(0.4, 0.6)):
    return ai_preference(lm, prompt, a, b, principle, None)


@mistake(
    "ai_preference",
    seen="You average something, but not the chances.",
    named="This equals a softmax of the averaged log-probabilities.",
    caught_by=BOTH,
)
def mean_of_logs(lm, prompt, a, b, principle, clamp=(0.4, 0.6)):
    one, two = (_first(lm, prompt, *pair, principle) for pair in ((a, b), (b, a)))
    return _clamped(((one + two.flip(0)) / 2).softmax(0)[0].item(), clamp)


@mistake(
    "ai_preference",
    seen="Where both letters are very unlikely your answer is not a number, or says nothing.",
    named="This equals exponentials that have already become zero.",
    caught_by=UNLIKELY,
)
def exponentials_first(lm, prompt, a, b, principle, clamp=(0.4, 0.6)):
    one, two = (_first(lm, prompt, *pair, principle).exp() for pair in ((a, b), (b, a)))
    return _clamped(((one[0] / one.sum()).item() + (two[1] / two.sum()).item()) / 2, clamp)


@mistake(
    "ai_preference",
    seen="By which of the principle's texts should the judge decide?",
    named="This equals the request for a critique in place of the preference.",
    caught_by=SHOWN,
)
def judged_by_the_critique(lm, prompt, a, b, principle, clamp=(0.4, 0.6)):
    return ai_preference(lm, prompt, a, b, {**principle, "preference": principle["critique"]}, clamp)


# ----------------------------------------------------------------------------------------------------- build_sl_dataset

LAST = "test_the_last_revision_is_kept"
LEAKS = "test_leaks_and_empty_texts_are_left_out"


def _dataset(records, response=lambda record: record["revisions"][-1], critiques=lambda record: record["critiques"],
             empties=False):  # fmt: skip
    if not all(record["revisions"] for record in records):
        raise ValueError("no revisions")
    found = []
    for record in records:
        text = record["revisions"][-1]
        if (text or empties) and not any(c and c in text for c in critiques(record)):
            found.append({"prompt": record["prompt"], "response": response(record)})
    return found


@mistake(
    "build_sl_dataset",
    seen="Your training text teaches the model to talk about its faults instead of avoiding them.",
    named="This equals responses that begin with the last critique.",
    caught_by=(LAST, LEAKS),
)
def critique_in_dataset(records):
    return _dataset(records, response=lambda record: f"{record['critiques'][-1]}\n{record['revisions'][-1]}")


@mistake(
    "build_sl_dataset",
    seen="The dataset holds answers from before any revision.",
    named="This equals the initial answers.",
    caught_by=(LAST, LEAKS),
)
def initial_response_kept(records):
    return _dataset(records, response=lambda record: record["initial"])


@mistake(
    "build_sl_dataset",
    seen="Only the first round has left a trace in your data.",
    named="This equals the first revisions.",
    caught_by=(LAST, LEAKS),
)
def first_revision_kept(records):
    return _dataset(records, response=lambda record: record["revisions"][0])


@mistake(
    "build_sl_dataset",
    seen="Your dataset is longer than the list of records.",
    named="This equals an entry for each revision, not for each record.",
    caught_by=LAST,
)
def every_revision_kept(records):
    build_sl_dataset(records)
    return [
        {"prompt": record["prompt"], "response": text}
        for record in records
        for text in record["revisions"]
        if text and not any(c and c in text for c in record["critiques"])
    ]


@mistake(
    "build_sl_dataset",
    seen="A critique got through into what the model will learn to say.",
    named="This equals records that are kept although their revision quotes a critique.",
    caught_by=LEAKS,
)
def quotes_kept(records):
    return _dataset(records, critiques=lambda record: [])


@mistake(
    "build_sl_dataset",
    seen="A revision may quote any critique of its record.",
    named="This equals a look at the last critique alone.",
    caught_by=LEAKS,
)
def last_critique_alone(records):
    return _dataset(records, critiques=lambda record: record["critiques"][-1:])


@mistake(
    "build_sl_dataset",
    seen="The model learns to say nothing.",
    named="This equals records that are kept although their last revision is empty.",
    caught_by=LEAKS,
)
def empty_kept(records):
    return _dataset(records, empties=True)


@mistake(
    "build_sl_dataset",
    seen="What has never been revised passes without a word.",
    named="This equals records without revisions that are left out quietly.",
    caught_by="test_records_without_revisions",
)
def unrevised_left_out(records):
    return build_sl_dataset([record for record in records if record["revisions"]])


# --------------------------------------------------------------------------------------------- build_preference_dataset

PAIRS = "test_pairs_and_their_chances"
HANDED = "test_the_clamp_is_handed_on"


def _pairs(lm, responder, prompts, constitution, generator, clamp, *, judge=ai_preference, equal=False, once=False,
           strip=str.strip, early=False):  # fmt: skip
    if not constitution:
        raise ValueError("no principles")
    found, number = [], None
    for prompt in prompts:
        a, b = (strip(responder.generate(prompt, generator=generator)) for _ in range(2))
        if early and a == b:
            continue
        if number is None or not once:
            number = int(torch.randint(len(constitution), (1,), generator=generator))
        principle = constitution[number]
        if a != b or equal:
            p = judge(lm, prompt, a, b, principle, clamp)
            found.append({"prompt": prompt, "a": a, "b": b, "p": p, "principle": principle["id"]})
    return found


@mistake(
    "build_preference_dataset",
    seen="The labeller's doubt is thrown away: 0.51 and 0.99 become the same label.",
    named="This equals labels of 1 and 0.",
    caught_by=(PAIRS, HANDED),
)
def doubt_thrown_away(lm, responder, prompts, constitution, generator, clamp=(0.4, 0.6)):
    def judge(*asked):
        return float(ai_preference(*asked[:-1], None) > 0.5)

    return _pairs(lm, responder, prompts, constitution, generator, clamp, judge=judge)


@mistake(
    "build_preference_dataset",
    seen="The reward model learns to prefer what the labeller disliked.",
    named="This equals the chance that b is better.",
    caught_by=(PAIRS, HANDED),
)
def chance_of_b(lm, responder, prompts, constitution, generator, clamp=(0.4, 0.6)):
    records = _pairs(lm, responder, prompts, constitution, generator, None)
    low, high = clamp or (0.0, 1.0)
    return [{**each, "p": min(max(1 - each["p"], low), high)} for each in records]


@mistake(
    "build_preference_dataset",
    seen="One principle judges all pairs; the constitution has more.",
    named="This equals one draw for the whole dataset.",
    caught_by=PAIRS,
)
def one_principle_for_all(lm, responder, prompts, constitution, generator, clamp=(0.4, 0.6)):
    return _pairs(lm, responder, prompts, constitution, generator, clamp, once=True)


@mistake(
    "build_preference_dataset",
    seen="Two equal answers are compared with each other.",
    named="This equals pairs that are kept although both answers are the same.",
    caught_by=PAIRS,
)
def equal_kept(lm, responder, prompts, constitution, generator, clamp=(0.4, 0.6)):
    return _pairs(lm, responder, prompts, constitution, generator, clamp, equal=True)


@mistake(
    "build_preference_dataset",
    seen="Two answers that differ in a blank are a pair to you.",
    named="This equals answers that are not stripped.",
    caught_by=PAIRS,
)
def answers_not_stripped(lm, responder, prompts, constitution, generator, clamp=(0.4, 0.6)):
    return _pairs(lm, responder, prompts, constitution, generator, clamp, strip=str)


@mistake(
    "build_preference_dataset",
    seen="After a pair that is left out, all your principles are others.",
    named="This equals a draw that is skipped where the answers are equal.",
    caught_by=PAIRS,
)
def no_draw_for_equals(lm, responder, prompts, constitution, generator, clamp=(0.4, 0.6)):
    return _pairs(lm, responder, prompts, constitution, generator, clamp, early=True)


@mistake(
    "build_preference_dataset",
    seen="The judge marks its own homework: who should have written the answers?",
    named="This equals answers that the judge writes itself.",
    caught_by=(PAIRS, HANDED),
)
def labeller_writes(lm, responder, prompts, constitution, generator, clamp=(0.4, 0.6)):
    class Both:
        def generate(self, prompt, generator=None):
            responder.generate(prompt, generator=generator)
            return lm.generate(prompt, generator=generator) + f" {len(responder.prompts)}"

    return _pairs(lm, Both(), prompts, constitution, generator, clamp)


@mistake(
    "build_preference_dataset",
    seen="Somebody asked for another clamp than the usual one.",
    named="This equals the default clamp, whatever is given.",
    caught_by=(HANDED,),
)
def usual_clamp(lm, responder, prompts, constitution, generator, clamp=(0.4, 0.6)):
    return build_preference_dataset(lm, responder, prompts, constitution, generator)


@mistake(
    "build_preference_dataset",
    seen="Nothing to go by is accepted without a word.",
    named="This equals an empty dataset where there are no principles.",
    caught_by="test_an_empty_constitution",
)
def no_principles_no_pairs(lm, responder, prompts, constitution, generator, clamp=(0.4, 0.6)):
    return build_preference_dataset(lm, responder, prompts, constitution, generator, clamp) if constitution else []


# ------------------------------------------------------------------------------------------------ train_ai_reward_model

WHOLE = "test_whole_texts_train_the_model"
SEED = "test_a_seed_fixes_the_model"
BACK = "test_chances_come_back"
CHOOSES = "test_what_it_chooses_is_harmless"


def _trained(
    lm, a, a_mask, b, b_mask, p, steps, seed,
    labels=lambda p: p, masks=lambda tokens, mask: mask, batch=64, seeded=True, eval_mode=True, moves=True,
):  # fmt: skip
    """The reference's training, with one thing otherwise."""
    generator = torch.Generator()
    generator.manual_seed(seed if seeded else int(torch.randint(2**31, ())))
    torch.manual_seed(seed)
    model = RewardModel(lm, ShippedHead(lm.config["d_model"])).train()
    with torch.no_grad():
        model.head.score.weight.normal_(std=(lm.config["d_model"] + 1) ** -0.5, generator=generator)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 1e-3 * min((step + 1) / 10, 1.0, 3 * (steps - step) / steps)
        rows = torch.randint(len(p), (batch,), generator=generator)
        lead = model(a[rows], masks(a[rows], a_mask[rows])) - model(b[rows], masks(b[rows], b_mask[rows]))
        loss = F.binary_cross_entropy_with_logits(lead, labels(p[rows]).to(lead.dtype))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        if moves:
            optimizer.step()
    return model.train(not eval_mode)


@mistake(
    "train_ai_reward_model",
    seen="What your model likes is no better than what it is given. Did a step of the optimiser ever reach it?",
    named="This equals a model that was never trained.",
    caught_by=BACK,
)
def never_trained(lm, *data):
    return _trained(lm, *data, moves=False)


@mistake(
    "train_ai_reward_model",
    seen="The reward model prefers what the labeller disliked.",
    named="This equals a training on 1 - p.",
    caught_by=(BACK, CHOOSES),
    blocker=True,
)
def trained_on_inverted_labels(lm, *data):
    return _trained(lm, *data, labels=lambda p: 1 - p)


@mistake(
    "train_ai_reward_model",
    seen="Your model is sure where the labeller had doubts.",
    named="This equals a training on labels of 1 and 0.",
    caught_by=(BACK,),
)
def trained_on_hard_labels(lm, *data):
    return _trained(lm, *data, labels=lambda p: (p > 0.5).float())


@mistake(
    "train_ai_reward_model",
    seen="Both answers of a pair get the same score, so the score cannot have seen the answer.",
    named="This equals texts of which only the prompt is read.",
    caught_by=WHOLE,
)
def prompt_alone(lm, *data):
    return _trained(lm, *data, masks=lambda tokens, mask: mask & (torch.arange(mask.shape[1]) < 5))


@mistake(
    "train_ai_reward_model",
    seen="When padding reuses the end token's number, your texts lose their end; the masks already say what is real.",
    named="This equals masks that are made from the tokens: real is what is not padding's number.",
    caught_by=WHOLE,
)
def masks_from_tokens(lm, *data):
    return _trained(lm, *data, masks=lambda tokens, mask: tokens != 0)


@mistake(
    "train_ai_reward_model",
    seen="A step of yours looks at fewer pairs than were asked for.",
    named="This equals batches of 32.",
    caught_by=WHOLE,
)
def half_a_batch(lm, *data):
    return _trained(lm, *data, batch=32)


@mistake(
    "train_ai_reward_model",
    seen="One seed gives two models: what else was drawn from?",
    named="This equals draws from torch's global state.",
    caught_by=SEED,
)
def seed_ignored(lm, *data):
    return _trained(lm, *data, seeded=False)


@mistake(
    "train_ai_reward_model",
    seen="In which mode does your model come back?",
    named="This equals a model that is still in training mode.",
    caught_by=SEED,
)
def left_in_training_mode(lm, *data):
    return _trained(lm, *data, eval_mode=False)
