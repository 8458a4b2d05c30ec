"""The tests that count. One test turns one knob; its docstring is the sentence that is true of a right answer.

Inputs come from `seed` alone. `@needs` stands on every property that an empty answer has too. Draws of a student's own
are never compared with ours: a batch is held against the text that it was cut from.
"""

import pytest
import torch
from asks import (
    batch_beside_global,
    batches,
    batches_from_global,
    built_tokenizer,
    evaluations,
    first_tokens,
    kind_of_evaluation,
    loaded_from_nowhere,
    overwritten,
    read_safely,
    resumed,
    saved_after_a_failure,
    seen_by_updates,
    stopped_and_resumed,
    there_and_back,
    tokenized,
    tokenized_by_default,
    train,
    trained_answers,
    trained_twice,
    trained_weights,
)
from common.texts import disguised_topics
from common.transformer import GPTConfig, TinyGPT

from autograder.testing import graded_run, needs, task, weight
from autograder.testing.readings import Reader

# Tolerances, each with its reason.
FLOAT64 = {"rtol": 1e-9, "atol": 1e-12}  # float64: another order of summation, nothing more


def whole(seed, low, high, *shape):
    """Whole numbers, low <= n < high."""
    return torch.randint(low, high, shape, generator=torch.Generator().manual_seed(seed + 1000))


# -------------------------------------------------------------------------------------------------------- CharTokenizer

ALPHABET = "zyxwabcde fghij\nKLMNÄößé→0189,.;日本"


def some_text(seed, length=40):
    """A text in which at least six characters do not come in sorted order, and some of the alphabet are missing."""
    picked = [ALPHABET[i] for i in torch.randperm(len(ALPHABET), generator=torch.Generator().manual_seed(seed))]
    letters = picked[:14]
    if letters == sorted(letters):
        letters.reverse()
    return "".join(letters) + "".join(letters[i] for i in whole(seed, 0, 14, length)), "".join(picked[14:])


@task("CharTokenizer")
@weight(2)
def test_ids_are_ranks_among_the_sorted_characters(student, reference, seed):
    """A character's id is its rank among the sorted characters of the text; decode is the way back."""
    text, _ = some_text(seed)
    asked = (text, "error", [text, text[::-1]], [list(range(14)), [3, 3, 0]])
    student.ask(tokenized, *asked).equals(reference.ask(tokenized, *asked))


@task("CharTokenizer")
@needs("test_ids_are_ranks_among_the_sorted_characters")
def test_every_text_of_known_characters_comes_back(student, seed):
    """decode(encode(s)) is s, for each s of known characters, and for the empty one."""
    text, _ = some_text(seed)
    texts = [text, text[5:20], ""]
    for policy in ("error", "replace"):
        student.ask(there_and_back, text, policy, texts).equals(texts)


@task("CharTokenizer")
def test_the_unknown_has_an_id_of_its_own(student, reference, seed):
    """With "replace", every unknown character gets the one extra id, the last, and no known one does."""
    text, strangers = some_text(seed)
    mixed = text[:5] + strangers[0] + text[5:8] + strangers[1] + strangers[0]
    asked = (text, "replace", [mixed, strangers], [[14, 0, 13, 14], list(range(15))])
    student.ask(tokenized, *asked).equals(reference.ask(tokenized, *asked))


@task("CharTokenizer")
@needs("test_ids_are_ranks_among_the_sorted_characters")
def test_an_unknown_character_is_refused(student, seed):
    """With "error", which is the default, an unknown character is refused, wherever it stands."""
    text, strangers = some_text(seed)
    student.ask(tokenized, text, "error", [strangers[0]], []).refused()
    student.ask(tokenized, text, "error", [text + strangers[1]], []).refused()
    student.ask(tokenized_by_default, text, strangers[2] + text).refused()


@task("CharTokenizer")
@needs("test_ids_are_ranks_among_the_sorted_characters", "test_the_unknown_has_an_id_of_its_own")
def test_an_id_that_does_not_exist_is_refused(student, seed):
    """An id beyond the last one is refused, and so is a negative one."""
    text, _ = some_text(seed)
    for policy, size in (("error", 14), ("replace", 15)):
        student.ask(tokenized, text, policy, [], [[0, size]]).refused()
        student.ask(tokenized, text, policy, [], [[-1]]).refused()


@task("CharTokenizer")
@needs("test_ids_are_ranks_among_the_sorted_characters")
def test_another_policy_is_refused(student, seed):
    """Any other policy for unknown characters is refused when the tokeniser is built."""
    text, _ = some_text(seed)
    for policy in ("ignore", "", "Replace"):
        student.ask(built_tokenizer, text, policy).refused()


# ------------------------------------------------------------------------------------------------------------ train_bpe


def text_over(seed, letters, length):
    return "".join(letters[i] for i in whole(seed, 0, len(letters), length))


@task("train_bpe")
@weight(2)
def test_the_most_frequent_pair_is_merged_again_and_again(student, reference, seed):
    """Round by round the most frequent pair is merged, and the new tokens take part."""
    text = ("ab" * 9 + "cab" * 7 + "dcab" * 5) + text_over(seed, "abcd", 30)
    student.train_bpe(text, 6).equals(reference.train_bpe(text, 6))


@task("train_bpe")
def test_ties_go_to_the_smallest_pair(student, reference, seed):
    """Among pairs that are equally frequent, the smallest pair of ids is merged."""
    text = text_over(seed, "zq aM.", 24)
    student.train_bpe(text, 12).equals(reference.train_bpe(text, 12))


@task("train_bpe")
def test_overlapping_pairs_count_and_are_merged_once(student, reference, seed):
    """In a row of equal letters every pair of neighbours counts, and each letter is used once."""
    runs = whole(seed, 2, 7, 5).tolist()
    text = "".join("ab"[i % 2] * (length + 2 * (i == 0)) for i, length in enumerate(runs)) + "ab" * 4
    student.train_bpe(text, 8).equals(reference.train_bpe(text, 8))


@task("train_bpe")
def test_it_begins_with_bytes(student, reference, seed):
    """The first 256 ids are bytes: a character outside of ASCII is two, three or four of them."""
    text = text_over(seed, "éß→日a😀", 30)
    student.train_bpe(text, 9).equals(reference.train_bpe(text, 9))


@task("train_bpe")
def test_it_merges_until_nothing_is_left(student, reference, seed):
    """A pair that occurs once is still merged; the merges end when a single token is left."""
    text = text_over(seed, "abcdefgh", 7 + seed % 4)
    student.train_bpe(text, 40).equals(reference.train_bpe(text, 40))


@task("train_bpe")
@needs("test_the_most_frequent_pair_is_merged_again_and_again")
def test_the_first_merges_do_not_depend_on_how_many_follow(student, seed):
    """The first merges are the same, however many are asked for; none are none."""
    text = text_over(seed, "abc d", 60)
    many = student.train_bpe(text, 10).value
    for k in (0, 1, 4):
        student.train_bpe(text, k).equals(many[:k])


@task("train_bpe")
@needs("test_the_most_frequent_pair_is_merged_again_and_again")
def test_texts_without_a_pair_have_no_merges(student, seed):
    """An empty text and one of a single byte have nothing to merge."""
    student.train_bpe("", 1 + seed % 5).equals([])
    student.train_bpe("abcdef"[seed % 6], 3).equals([])


# ------------------------------------------------------------------------------------------------------ train_val_split


@task("train_val_split")
@weight(2)
def test_the_end_is_held_out_in_order(student, reference, seed):
    """The last tokens are held out, the others trained on, both in their order, none twice."""
    n = 41 + seed % 17
    data = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    for fraction in (0.1, 0.3):
        student.train_val_split(data, fraction).equals(reference.train_val_split(data, fraction))
    student.train_val_split(data).equals(reference.train_val_split(data))


@task("train_val_split")
def test_the_number_is_rounded(student, reference, seed):
    """round(val_fraction * n) tokens are held out: sometimes that is more than the share, sometimes less."""
    for n in (17, 18, 19, 21, 22, 23):
        data = whole(seed, 0, 1000, n)
        student.train_val_split(data, 0.15).equals(reference.train_val_split(data, 0.15))


@task("train_val_split")
@needs("test_the_end_is_held_out_in_order")
def test_bad_fractions_and_empty_parts_are_refused(student, seed):
    """A fraction outside of (0, 1) is refused, and so is a text of which one part would be empty."""
    data = whole(seed, 0, 1000, 20 + seed % 5)
    for fraction in (0.0, 1.0, -0.25, 1.25):
        student.train_val_split(data, fraction).refused()
    student.train_val_split(data[:4], 0.1).refused()
    student.train_val_split(data[:4], 0.9).refused()
    student.train_val_split(data[:0], 0.5).refused()


# ------------------------------------------------------------------------------------------------------------ get_batch

T = 6


@task("get_batch")
@weight(2)
def test_with_room_for_one_window_there_is_one_answer(student, reference, seed):
    """Where only one window fits, x is the text without its last token and y the text without its first."""
    data = torch.randperm(90, generator=torch.Generator().manual_seed(seed))[: T + 1]
    student.get_batch(data, 3, T).equals(reference.get_batch(data, 3, T))


@task("get_batch")
def test_every_target_is_the_token_that_follows(student, seed):
    """Each window is a piece of the text as it stands, and its targets are the same piece one token further on."""
    data = torch.randperm(200, generator=torch.Generator().manual_seed(seed))  # every token once: it tells its place
    place = data.argsort()
    x, y = student.ask(batches, data, 50, T, seed, 1).value[0]
    assert x.shape == y.shape == (50, T), "Both x and y should be (B, T)."
    assert x.dtype == y.dtype == torch.int64, "Both x and y should be int64."
    assert ((place[x][:, 1:] - place[x][:, :-1]) == 1).all(), "A window is not a piece of the text as it stands."
    assert (place[y] == place[x] + 1).all(), "A target is not the token that follows."


@task("get_batch")
@needs("test_every_target_is_the_token_that_follows")
def test_every_start_is_equally_likely(student, seed):
    """All starts from the first to the last possible one are drawn, each as often as any other."""
    n, draws = T + 8 + seed % 5, 20_000
    x, _ = student.ask(batches, torch.arange(n), draws, T, seed, 1).value[0]
    counts = torch.bincount(x[:, 0], minlength=n)
    starts = n - T
    assert (counts[starts:] == 0).all(), "A window began where it has no room."
    assert counts[0] > 0, "The first token of the text was never read."
    assert counts[starts - 1] > 0, "The last token of the text was never a target."
    # 20,000 draws, 5 standard deviations
    away = (counts[:starts] - draws / starts).abs()
    assert away.max() <= 5 * (draws / starts * (1 - 1 / starts)) ** 0.5, "Some starts are drawn too often."


@task("get_batch")
@needs("test_every_target_is_the_token_that_follows")
def test_the_windows_of_a_batch_are_drawn_alone(student, seed):
    """Where one window of a batch begins says nothing of the next one: all pairs of starts occur."""
    pairs = student.ask(first_tokens, torch.arange(T + 3), 2, T, seed, 200).value  # three starts, nine pairs
    assert len(set(map(tuple, pairs.tolist()))) == 9, "Some pairs of starts never occur in one batch."


@task("get_batch")
@needs("test_every_target_is_the_token_that_follows")
def test_the_generator_decides(student, seed):
    """The same generator gives the same batches, two calls give two, and the global generator does not matter."""
    data = torch.arange(5000)
    first = student.ask(batches, data, 8, T, seed, 2).value
    again = student.ask(batch_beside_global, data, 8, T, seed, 3 + seed).value
    noisy = student.ask(batch_beside_global, data, 8, T, seed, 4 + seed).value
    other = student.ask(batches, data, 8, T, seed + 1, 1).value
    assert torch.equal(first[0][0], again[0]), "One generator, from one state, gave two batches."
    assert torch.equal(again[0], noisy[0]), "One generator gave two batches."
    assert not torch.equal(first[0][0], first[1][0]), "Two calls gave one batch."
    assert not torch.equal(first[0][0], other[0][0]), "Two generators gave one batch."


@task("get_batch")
@needs("test_every_target_is_the_token_that_follows")
def test_without_a_generator_the_global_one_decides(student, seed):
    """Without a generator, torch's global one is drawn from: seeded alike it gives the same, and two calls two."""
    data = torch.arange(5000)
    one = student.ask(batches_from_global, data, 8, T, seed, 2).value
    same = student.ask(batches_from_global, data, 8, T, seed, 2).value
    other = student.ask(batches_from_global, data, 8, T, seed + 1, 2).value
    assert torch.equal(one[0][0], same[0][0]), "The global generator, seeded alike, gave two batches."
    assert not torch.equal(one[0][0], one[1][0]), "Two calls gave one batch."
    assert not torch.equal(one[0][0], other[0][0]), "Two seeds of the global generator gave one batch."


@task("get_batch")
@needs("test_with_room_for_one_window_there_is_one_answer")
def test_a_text_of_one_window_or_less_is_refused(student, seed):
    """A text that has no token after its only window is refused, and a shorter one too."""
    data = whole(seed, 0, 50, T)
    student.get_batch(data, 2, T).refused()
    student.get_batch(data[:2], 2, T).refused()
    student.get_batch(data[:0], 2, T).refused()


# ------------------------------------------------------------------------------------------------------------- evaluate

V, C = 7, 5


def table_and_text(seed, n):
    generator = torch.Generator().manual_seed(seed)
    table = 2 * torch.randn(C, V, V, generator=generator, dtype=torch.float64)
    return table, whole(seed, 0, V, n)


@task("evaluate")
@weight(2)
@pytest.mark.parametrize("n", [38, 47])
def test_each_next_token_counts_once_and_alike(student, reference, seed, n):
    """Each next token is predicted once, in windows that follow each other, and counts like any other."""
    table, data = table_and_text(seed, n)
    options = [{"batch_size": 3}, {"context": 3, "batch_size": 4}, {"context": 4, "batch_size": 2}]
    answer = student.ask(evaluations, table, data, options, 0.0)
    answer.equals(reference.ask(evaluations, table, data, options, 0.0), **FLOAT64)


@task("evaluate")
def test_where_all_windows_are_full(student, reference, seed):
    """Where the windows just fit, there is no shorter one; texts of two tokens and of one window are texts."""
    table, data = table_and_text(seed, 4 * C + 1)
    for n in (4 * C + 1, C + 1, C, 2):
        answer = student.ask(evaluations, table, data[:n], [{}, {"batch_size": 2}], 0.0)
        answer.equals(reference.ask(evaluations, table, data[:n], [{}, {"batch_size": 2}], 0.0), **FLOAT64)


@task("evaluate")
@needs("test_each_next_token_counts_once_and_alike")
def test_the_batch_size_does_not_matter(student, seed):
    """However many windows go through at once, the answer is the same."""
    table, data = table_and_text(seed, 53)
    losses = student.ask(evaluations, table, data, [{"batch_size": b} for b in (1, 2, 3, 10, 50)], 0.0).value["loss"]
    assert max(losses) - min(losses) < 1e-6 * max(losses), "The answer depends on the batch size."


@task("evaluate")
def test_the_models_own_context_is_the_default(student, reference, seed):
    """Without a context, windows are as long as the model can read, and never longer."""
    table, data = table_and_text(seed, 33)
    asked = (table, data, [{}, {"context": None}], 0.0)
    student.ask(evaluations, *asked).equals(reference.ask(evaluations, *asked), **FLOAT64)


@task("evaluate")
def test_dropout_sleeps_during_the_exam(student, reference, seed):
    """A model with dropout gives the answer that it would give without."""
    table, data = table_and_text(seed, 42)
    asked = (table, data, [{"batch_size": 2}, {"batch_size": 2}], 0.5)
    student.ask(evaluations, *asked).equals(reference.ask(evaluations, *asked), **FLOAT64)


@task("evaluate")
@pytest.mark.parametrize("training", [True, False])
def test_the_model_keeps_its_mode(student, reference, seed, training):
    """After the exam the model is in the mode in which it came: training or not."""
    table, data = table_and_text(seed, 29)
    asked = (table, data, [{}, {"context": 2}], 0.0, training)
    student.ask(evaluations, *asked).equals(reference.ask(evaluations, *asked), **FLOAT64)


@task("evaluate")
@needs("test_each_next_token_counts_once_and_alike")
def test_it_is_a_float(student, reference, seed):
    """What comes back is a Python float."""
    table, data = table_and_text(seed, 20)
    answer = student.ask(kind_of_evaluation, table.float(), data)
    # float32 logits: seven digits, nineteen terms
    answer.equals(reference.ask(kind_of_evaluation, table.float(), data), rtol=1e-5)


@task("evaluate")
@needs("test_each_next_token_counts_once_and_alike")
def test_a_text_without_a_next_token_is_refused(student, seed):
    """Texts of one token and of none have nothing to predict."""
    table, data = table_and_text(seed, 1)
    student.ask(evaluations, table, data, [{}], 0.0).refused()
    student.ask(evaluations, table, data[:0], [{}], 0.0).refused()


# ---------------------------------------------------------------------------------------------------------- checkpoints


def same(one, other):
    return set(one) == set(other) and all(torch.equal(one[name], other[name]) for name in one)


@task("save_checkpoint")
@weight(2)
def test_six_steps_are_three_and_three(student, reference, seed):
    """Three steps, a file, fresh objects and three steps give the weights of six steps in a row, bit for bit."""
    answer = student.ask(resumed, 6, 3, 0.3, True, seed)
    answer.equals(reference.ask(resumed, 6, 3, 0.3, True, seed))


@task("save_checkpoint")
@needs("test_six_steps_are_three_and_three")
def test_the_file_can_be_read_by_who_trusts_nobody(student, seed):
    """The file at `path` is read with weights_only=True, and there are tensors in it."""
    found = student.ask(read_safely, seed).value
    assert found["is_file"], "There is no file at the path."
    assert found["tensors"] >= 2, "There is no tensor to be found in the file."


@task("save_checkpoint")
@needs("test_six_steps_are_three_and_three")
def test_a_failure_leaves_the_older_file_whole(student, seed):
    """Where saving fails half way, the checkpoint that was there is still there, and the failure is not hidden."""
    found = student.ask(saved_after_a_failure, seed).value
    assert found["raised"], "A checkpoint could not be stored, and nothing was said."
    assert found["step"] == 2, "After a failure another step came back than was saved."
    assert same(found["before"], found["after"]), "After a failure other weights came back than were saved."


@task("save_checkpoint")
@needs("test_six_steps_are_three_and_three")
def test_the_newer_file_takes_the_place_of_the_older(student, seed):
    """A second checkpoint at the same path replaces the first."""
    found = student.ask(overwritten, seed).value
    assert found["step"] == 2, "The older step came back."
    assert same(found["saved"], found["loaded"]), "Other weights came back than were saved last."


@task("load_checkpoint")
@weight(2)
@pytest.mark.parametrize("stop", [1, 4])
def test_wherever_it_stops_it_ends_the_same(student, reference, seed, stop):
    """Wherever a training is stopped and taken up, it ends at the weights of the one that was not."""
    answer = student.ask(resumed, 5, stop, 0.4, True, seed)
    answer.equals(reference.ask(resumed, 5, stop, 0.4, True, seed))


@task("load_checkpoint")
@needs("test_wherever_it_stops_it_ends_the_same")
def test_without_a_generator_the_rest_comes_back(student, reference, seed):
    """Without a generator everything else is stored and restored: batches then come from the global one."""
    answer = student.ask(resumed, 4, 2, 0.2, False, seed)
    answer.equals(reference.ask(resumed, 4, 2, 0.2, False, seed))


@task("load_checkpoint")
@needs("test_wherever_it_stops_it_ends_the_same")
def test_a_file_that_is_not_there_is_no_beginning(student):
    """Loading a file that does not exist raises an error."""
    assert student.ask(loaded_from_nowhere).value["raised"], "There was no file, and nothing was said."


# ---------------------------------------------------------------------------------------------------------------- train

TINY = {"vocab_size": 12, "context": 8, "n_layers": 1, "n_heads": 2, "d_model": 32, "d_ff": 64}
PLACES = torch.arange(9600)
TEXT = PLACES % 3 + 3 * (PLACES // 2400)  # the small world: 0 1 2 0 ..., then 3 4 5 3 ..., 6 7 8 6 ..., 9 10 11 9 ...
NEAR = 0.1


@task("train")
@graded_run(cpu_seconds=30)
def test_the_small_world_is_learnt(student, run):
    """In a text that counts, the right next token is nearly certain, in each of its four quarters."""
    student.ask(train, TINY, TEXT, None, 300, run.seed, 2)  # 4,800 tokens: half of the text, if they were in order
    logits = student.ask(trained_answers, torch.arange(12).view(4, 3)).value
    after = logits.softmax(-1)[:, 1]  # (4, 12)  what comes after 0 1, after 3 4, after 6 7, after 9 10
    right = after.gather(1, torch.tensor([[2], [5], [8], [11]]))[:, 0].tolist()
    again = after.gather(1, torch.tensor([[1], [4], [7], [10]])).mean().item()
    ends = {
        "untrained": [1 / 12] * 5,
        "trained_on_its_input": [0, 0, 0, 0, 1],
        "windows_in_order": [1, 1, 0, 0, None],
        "rate_stays_down": [1 / 12] * 5,
    }
    name = "probability of the right token, by quarters, and of a repetition"
    run.tells(name, [*right, again], [1, 1, 1, 1, 0], atol=NEAR, mistakes=ends)


@task("train")
@needs("test_the_small_world_is_learnt")
def test_a_seed_fixes_the_whole_training(student, seed):
    """Two trainings with one seed end at the same weights, dropout and all; with another seed they do not."""
    config = TINY | {"dropout": 0.2}
    one, same_seed, other = student.ask(trained_twice, config, TEXT, 4, [seed, seed, seed + 1], 3, 1000 + seed).value
    assert torch.equal(one, same_seed), "One seed gave two models: what else was drawn from?"
    assert not torch.equal(one, other), "Two seeds gave one model."


@task("train")
@needs("test_the_small_world_is_learnt")
def test_a_step_is_one_update_on_one_batch(student, seed):
    """As many optimiser steps as asked for, each on batch_size windows of `context` tokens; on_update is told after each."""
    steps, batch = 5 + seed % 4, 3 + seed % 3
    seen = student.ask(seen_by_updates, TINY, TEXT, steps, seed, batch).value
    assert len(seen["moved"]) == steps, "on_update should be called once after each step."
    assert min(seen["moved"]) > 0, "on_update was called, and since it was called last no weight had moved."
    assert seen["ends_as_told"], "After on_update was called for the last time, the weights moved once more."
    assert seen["tokens"] == steps * batch * TINY["context"], (
        "A step reads batch_size windows of `context` tokens, once."
    )


@task("train")
@needs("test_the_small_world_is_learnt")
def test_a_stopped_training_goes_on(student, seed):
    """Stopped twice and taken up again, a training ends at the weights of the one that was not; what is done is done."""
    config = TINY | {"dropout": 0.1}
    found = student.ask(stopped_and_resumed, config, TEXT, 9, [2 + seed % 3, 6], seed, 3).value
    assert all(found["files"]), "A training was stopped and left no checkpoint."
    assert same(found["straight"], found["resumed"]), "The training that was stopped ended at other weights."
    assert found["updates"] == 9, "Some steps were taken twice, or left out."
    assert same(found["resumed"], found["again"]), "All steps were done, and the model changed once more."


SHAPE = {"context": 64, "n_layers": 4, "n_heads": 4, "d_model": 128, "d_ff": 512}
GPT2 = {"norm": "layernorm", "mlp": "gelu", "positions": "learned", "bias": True}
STEPS, BATCH, BITS = 800, 8, 3.2


@task("train")
@weight(3)
@needs("test_the_small_world_is_learnt")
@graded_run(cpu_seconds=150)
def test_it_reads_text_that_it_never_saw(student, run):
    """After 800 steps of 8 windows, text that was never seen costs at most 3.2 bits a character."""
    text = disguised_topics(run.seed)
    config = SHAPE | {"vocab_size": text.vocab_size}
    ours = TinyGPT(GPTConfig(**config, **GPT2))
    reader = Reader(run, ours, text.held_out, context=64, steps=STEPS, tokens=BATCH * 64)
    student.ask(train, config, text.training, reader.updates(), STEPS, run.seed, BATCH)
    reader.take(student.ask(trained_weights).value)

    seen = text.held_out[: 4 * 64].view(4, 64)
    changed = torch.cat([seen[:, :40], seen[:, 40:].flip(0)], dim=1)
    logits, others = student.ask(trained_answers, seen).value, student.ask(trained_answers, changed).value
    reader.agrees(logits, seen)
    reader.agrees(others, changed)
    assert torch.allclose(logits[:, :40], others[:, :40], atol=1e-5), "Later tokens changed what was said before them."
    run.reaches("held-out bits a character", reader.bits(), at_most=BITS)
