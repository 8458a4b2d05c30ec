"""Wrong implementations, each right in everything but its one mistake. Every one must be caught by the tests it names.

`seen` is said at once: what shows, or a question. `named` is said later: what the answer equals.
"""

import copy
import itertools
import math
from collections import Counter
from pathlib import Path

import torch
import torch.nn.functional as F
from common.transformer import TinyGPT
from reference import CharTokenizer, get_batch, load_checkpoint, save_checkpoint, train_val_split
from torch import nn

from autograder.testing import mistake

# -------------------------------------------------------------------------------------------------------- CharTokenizer

RANKS = "test_ids_are_ranks_among_the_sorted_characters"
UNKNOWN = "test_the_unknown_has_an_id_of_its_own"


@mistake(
    "CharTokenizer",
    seen="Shuffle the text and your ids change.",
    named="This equals ids in the order in which the characters first appear.",
    caught_by=(RANKS, UNKNOWN),
)
class order_of_appearance(CharTokenizer):
    def __init__(self, text, unknown="error"):
        super().__init__(text, unknown)
        self.characters = list(dict.fromkeys(text))
        self.ids = {character: i for i, character in enumerate(self.characters)}


@mistake(
    "CharTokenizer",
    seen="Text went in and shorter text came out.",
    named="This equals an encode that leaves unknown characters out.",
    caught_by=("test_an_unknown_character_is_refused", UNKNOWN),
)
class unseen_dropped(CharTokenizer):
    def encode(self, s):
        return [self.ids[character] for character in s if character in self.ids]


@mistake(
    "CharTokenizer",
    seen="An unknown character became a real one.",
    named="This equals a vocabulary in which unknown characters share the id of the last known one.",
    caught_by=UNKNOWN,
)
class unknown_reuses_id(CharTokenizer):
    def __init__(self, text, unknown="error"):
        super().__init__(text, unknown)
        if self.unknown_id is not None:
            self.unknown_id -= 1
            self.vocab_size -= 1


@mistake(
    "CharTokenizer",
    seen="An unknown character moved all the others: where does the extra id stand?",
    named="This equals a vocabulary in which the id for unknown characters is the first one, 0.",
    caught_by=UNKNOWN,
)
class unknown_first(CharTokenizer):
    def __init__(self, text, unknown="error"):
        super().__init__(text, unknown)
        if self.unknown_id is not None:
            self.characters = ["", *self.characters]
            self.ids = {character: i for i, character in enumerate(self.characters) if i}
            self.unknown_id = 0


@mistake(
    "CharTokenizer",
    seen="Your vocabulary has an id that vocab_size does not count: a model of that size cannot embed it.",
    named="This equals a vocab_size without the extra id.",
    caught_by=UNKNOWN,
)
class size_without_the_unknown(CharTokenizer):
    def __init__(self, text, unknown="error"):
        super().__init__(text, unknown)
        self.vocab_size = len(self.characters)

    def decode(self, ids):
        size, self.vocab_size = self.vocab_size, len(self.characters) + (self.unknown_id is not None)
        try:
            return super().decode(ids)
        finally:
            self.vocab_size = size


@mistake(
    "CharTokenizer",
    seen="Ids are ranks: the smallest is 0.",
    named="This equals the Unicode numbers of the characters.",
    caught_by=(RANKS, UNKNOWN),
)
class code_points(CharTokenizer):
    def __init__(self, text, unknown="error"):
        super().__init__(text, unknown)
        self.ids = {character: ord(character) for character in self.characters}
        self.back = {i: character for character, i in self.ids.items()}

    def decode(self, ids):
        return "".join(self.back.get(i, "\ufffd") for i in ids)


@mistake(
    "CharTokenizer",
    seen="The id −1 was decoded: which character does Python find there?",
    named="This equals a decode that lets negative ids count from the end.",
    caught_by="test_an_id_that_does_not_exist_is_refused",
)
class negative_ids_wrap(CharTokenizer):
    def decode(self, ids):
        return super().decode([i % self.vocab_size if -self.vocab_size <= i < 0 else i for i in ids])


@mistake(
    "CharTokenizer",
    seen="Any word is taken for a policy.",
    named='This equals a tokeniser that refuses strangers under every policy but "replace", whatever it is called.',
    caught_by="test_another_policy_is_refused",
)
class any_policy(CharTokenizer):
    def __init__(self, text, unknown="error"):
        super().__init__(text, unknown if unknown == "replace" else "error")


# ------------------------------------------------------------------------------------------------------------ train_bpe

AGAIN = "test_the_most_frequent_pair_is_merged_again_and_again"
TIES = "test_ties_go_to_the_smallest_pair"
OVERLAP = "test_overlapping_pairs_count_and_are_merged_once"


def _merged(ids, pair, new):
    merged, i = [], 0
    while i < len(ids):
        if tuple(ids[i : i + 2]) == pair:
            merged.append(new)
            i += 2
        else:
            merged.append(ids[i])
            i += 1
    return merged


def _count(ids):
    return Counter(itertools.pairwise(ids))


def _bpe(text, n_merges, *, pick=None, ids=None, count=_count, merge=_merged, least=1):
    """Byte-pair encoding with one part exchanged. pick(counts, ids of each token in bytes) chooses the pair."""
    ids = list(text.encode("utf-8")) if ids is None else ids
    spelt = {i: (i,) for i in ids}
    merges = []
    for new in range(256, 256 + n_merges):
        counts = count(ids)
        if not counts or max(counts.values()) < least:
            break
        pair = pick(counts, spelt) if pick else min(counts, key=lambda p: (-counts[p], p))
        merges.append(pair)
        spelt[new] = spelt[pair[0]] + spelt[pair[1]]
        ids = merge(ids, pair, new)
    return merges


@mistake(
    "train_bpe",
    seen="Two pairs were equally frequent; see the stated rule for ties.",
    named="This equals taking, among equally frequent pairs, the one that was seen first (as minbpe does).",
    caught_by=TIES,
)
def tie_first_seen(text, n_merges):
    return _bpe(text, n_merges, pick=lambda counts, spelt: max(counts, key=counts.get))


@mistake(
    "train_bpe",
    seen="Two pairs were equally frequent; see the stated rule for ties.",
    named="This equals taking, among equally frequent pairs, the one with the largest bytes (as CS336 does).",
    caught_by=TIES,
)
def tie_largest(text, n_merges):
    return _bpe(text, n_merges, pick=lambda counts, spelt: max(counts, key=lambda p: (counts[p], _bytes(p, spelt))))


@mistake(
    "train_bpe",
    seen="Two pairs were equally frequent; see the stated rule for ties. You compare them by something that is not their ids.",
    named="This equals taking, among equally frequent pairs, the one with the smallest bytes in place of the smallest ids.",
    caught_by="test_it_merges_until_nothing_is_left",
)
def tie_smallest_bytes(text, n_merges):
    return _bpe(text, n_merges, pick=lambda counts, spelt: min(counts, key=lambda p: (-counts[p], _bytes(p, spelt))))


@mistake(
    "train_bpe",
    seen="Two pairs were equally frequent, and a space was in one of them: which byte is a space?",
    named="This equals ties that are broken among the printable stand-ins which GPT-2 has for bytes.",
    caught_by=TIES,
)
def tie_by_stand_ins(text, n_merges):
    def stand_ins(pair, spelt):
        return tuple([_STAND_IN[b] for b in part] for part in _bytes(pair, spelt)), pair

    return _bpe(text, n_merges, pick=lambda counts, spelt: min(counts, key=lambda p: (-counts[p], stand_ins(p, spelt))))


def _bytes(pair, spelt):
    return spelt[pair[0]], spelt[pair[1]]


_SHOWN = [*range(33, 127), *range(161, 173), *range(174, 256)]
_HIDDEN = [b for b in range(256) if b not in _SHOWN]
_STAND_IN = {b: b for b in _SHOWN} | {b: 256 + i for i, b in enumerate(_HIDDEN)}


@mistake(
    "train_bpe",
    seen="Non-ASCII text differs: what are the first 256 symbols?",
    named="This equals merges over characters, by their Unicode numbers.",
    caught_by="test_it_begins_with_bytes",
)
def characters_not_bytes(text, n_merges):
    return _bpe(text, n_merges, ids=[ord(character) for character in text])


@mistake(
    "train_bpe",
    seen="After a merge the neighbours have changed.",
    named="This equals counting once, at the beginning, and taking the pairs in the order of those counts.",
    caught_by=AGAIN,
)
def counts_not_refreshed(text, n_merges):
    counts = _count(list(text.encode("utf-8")))
    return sorted(counts, key=lambda p: (-counts[p], p))[:n_merges]


@mistake(
    "train_bpe",
    seen="In 'aaa' one 'a' was used twice.",
    named="This equals a merge that replaces overlapping pairs, each of them.",
    caught_by=OVERLAP,
)
def merges_overlap(text, n_merges):
    def merge(ids, pair, new):
        is_pair = [tuple(ids[i : i + 2]) == pair for i in range(len(ids))]
        return [new if is_pair[i] else ids[i] for i in range(len(ids)) if is_pair[i] or not (i and is_pair[i - 1])]

    return _bpe(text, n_merges, merge=merge)


@mistake(
    "train_bpe",
    seen="In 'aaa', how many times do two letters 'a' stand side by side?",
    named="This equals a count in which a pair that overlaps its equal is left out.",
    caught_by=OVERLAP,
)
def counts_without_overlap(text, n_merges):
    def count(ids):
        counts, last = Counter(), None
        for i, pair in enumerate(itertools.pairwise(ids)):
            if pair == last and pair[0] == pair[1]:
                last = None
                continue
            counts[pair] += 1
            last = pair if i >= 0 else None
        return counts

    return _bpe(text, n_merges, count=count)


@mistake(
    "train_bpe",
    seen="You stopped although there were still pairs.",
    named="This equals merging only pairs that occur at least twice.",
    caught_by="test_it_merges_until_nothing_is_left",
)
def stops_at_one(text, n_merges):
    return _bpe(text, n_merges, least=2)


@mistake(
    "train_bpe",
    seen="A pair was merged once where it stands many times.",
    named="This equals a merge of the first occurrence alone.",
    caught_by=AGAIN,
)
def merges_first_only(text, n_merges):
    def merge(ids, pair, new):
        i = next(i for i in range(len(ids) - 1) if (ids[i], ids[i + 1]) == pair)
        return [*ids[:i], new, *ids[i + 2 :]]

    return _bpe(text, n_merges, merge=merge)


@mistake(
    "train_bpe",
    seen="No pair of yours goes over a space.",
    named="This equals merges inside of words only: the text was split at spaces.",
    caught_by=TIES,
)
def splits_words(text, n_merges):
    words, word = [], []
    for byte in text.encode("utf-8"):
        if byte == 32:
            words.append(word)
            word = [byte]
        else:
            word.append(byte)
    words.append(word)
    merges = []
    for new in range(256, 256 + n_merges):
        counts = sum((_count(word) for word in words), Counter())
        if not counts:
            break
        pair = min(counts, key=lambda p: (-counts[p], p))
        merges.append(pair)
        words = [_merged(word, pair, new) for word in words]
    return merges


# ------------------------------------------------------------------------------------------------------ train_val_split

SPLIT = "test_the_end_is_held_out_in_order"


def _cut(data, val_fraction, cut=round):
    train_val_split(data, val_fraction)  # refuses what is to be refused
    return min(max(cut(val_fraction * len(data)), 1), len(data) - 1)


@mistake(
    "train_val_split",
    seen="Your validation set is made of pieces whose neighbours were trained on.",
    named="This equals a split of the shuffled text.",
    caught_by=SPLIT,
)
def shuffled_before_split(data, val_fraction=0.1):
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(0))
    return train_val_split(data[order], val_fraction)


@mistake(
    "train_val_split",
    seen="Some text sits on both sides.",
    named="This equals training on the whole text, the held-out part included.",
    caught_by=SPLIT,
)
def overlap(data, val_fraction=0.1):
    return data.clone(), train_val_split(data, val_fraction)[1]


@mistake(
    "train_val_split",
    seen="Which end is held out?",
    named="This equals holding out the beginning of the text.",
    caught_by=SPLIT,
)
def val_from_head(data, val_fraction=0.1):
    k = _cut(data, val_fraction)
    return data[k:], data[:k]


@mistake(
    "train_val_split",
    seen="Which of the two answers comes first?",
    named="This equals the pair in the other order: held out, training.",
    caught_by=SPLIT,
)
def sides_swapped(data, val_fraction=0.1):
    training, held_out = train_val_split(data, val_fraction)
    return held_out, training


@mistake(
    "train_val_split",
    seen="At some lengths you hold out one token fewer.",
    named="This equals a share that is cut off, not rounded.",
    caught_by="test_the_number_is_rounded",
)
def cut_off(data, val_fraction=0.1):
    k = _cut(data, val_fraction, int)
    return data[: len(data) - k], data[len(data) - k :]


@mistake(
    "train_val_split",
    seen="At some lengths you hold out one token more.",
    named="This equals rounding the training part down, so the held-out part up.",
    caught_by="test_the_number_is_rounded",
)
def rounded_up(data, val_fraction=0.1):
    k = _cut(data, val_fraction, math.ceil)
    return data[: len(data) - k], data[len(data) - k :]


@mistake(
    "train_val_split",
    seen="A whole side of yours is empty, and you did not say so.",
    named="This equals a split that accepts an empty part.",
    caught_by="test_bad_fractions_and_empty_parts_are_refused",
)
def empty_side_accepted(data, val_fraction=0.1):
    k = round(val_fraction * len(data))
    return data[: len(data) - k], data[len(data) - k :]


# ------------------------------------------------------------------------------------------------------------ get_batch

ONE = "test_with_room_for_one_window_there_is_one_answer"
FOLLOWS = "test_every_target_is_the_token_that_follows"
LIKELY = "test_every_start_is_equally_likely"


def _windows(data, starts, length):
    return data[(starts[:, None] + torch.arange(length)) % len(data)]


def _room(data, context):
    if len(data) <= context:
        raise ValueError("no window")
    return len(data) - context


@mistake(
    "get_batch",
    seen="Your model is asked to repeat what it just read.",
    named="This equals targets that are not shifted: y is x.",
    caught_by=(ONE, FOLLOWS),
)
def targets_not_shifted(data, batch_size, context, generator=None):
    x, _ = get_batch(data, batch_size, context, generator)
    return x, x.clone()


@mistake(
    "get_batch",
    seen="Your model learns what came before, not what comes next.",
    named="This equals targets that are shifted the other way.",
    caught_by=(ONE, FOLLOWS),
)
def shifted_backwards(data, batch_size, context, generator=None):
    x, y = get_batch(data, batch_size, context, generator)
    return y, x


@mistake(
    "get_batch",
    seen="The token after next is not the next token.",
    named="This equals targets that are shifted by two.",
    caught_by=(ONE, FOLLOWS),
)
def shifted_by_two(data, batch_size, context, generator=None):
    starts = torch.randint(_room(data, context), (batch_size,), generator=generator)
    windows = _windows(data, starts, context + 2)
    return windows[:, :-2], windows[:, 2:]


@mistake(
    "get_batch",
    seen="The last character of the text is never a target.",
    named="This equals starts that end one too early.",
    caught_by=LIKELY,
)
def last_start_missing(data, batch_size, context, generator=None):
    starts = torch.randint(max(_room(data, context) - 1, 1), (batch_size,), generator=generator)
    windows = _windows(data, starts, context + 1)
    return windows[:, :-1], windows[:, 1:]


@mistake(
    "get_batch",
    seen="A window runs off the end.",
    named="This equals starts that go on by one too many: the last target is missing (or begins at the front again).",
    caught_by=LIKELY,
)
def start_too_late(data, batch_size, context, generator=None):
    starts = torch.randint(_room(data, context) + 1, (batch_size,), generator=generator)
    windows = _windows(data, starts, context + 1)
    return windows[:, :-1], windows[:, 1:]


@mistake(
    "get_batch",
    seen="The first character of the text is never read.",
    named="This equals starts that begin at 1.",
    caught_by=LIKELY,
)
def first_start_missing(data, batch_size, context, generator=None):
    room = _room(data, context)
    starts = torch.randint(min(1, room - 1), room, (batch_size,), generator=generator)
    windows = _windows(data, starts, context + 1)
    return windows[:, :-1], windows[:, 1:]


@mistake(
    "get_batch",
    seen="Every window starts where the last one ended.",
    named="This equals windows in order: one start is drawn, and the others follow it through the text.",
    caught_by="test_the_windows_of_a_batch_are_drawn_alone",
)
def no_shuffle(data, batch_size, context, generator=None):
    room = _room(data, context)
    first = torch.randint(room, (1,), generator=generator)
    starts = (first + context * torch.arange(batch_size)) % room
    windows = _windows(data, starts, context + 1)
    return windows[:, :-1], windows[:, 1:]


@mistake(
    "get_batch",
    seen="Two calls gave one batch.",
    named="This equals a generator that is seeded anew within each call.",
    caught_by=("test_the_generator_decides", "test_without_a_generator_the_global_one_decides"),
)
def same_batch(data, batch_size, context, generator=None):
    return get_batch(data, batch_size, context, torch.Generator().manual_seed(0))


@mistake(
    "get_batch",
    seen="Your batches do not come from the generator they were given.",
    named="This equals draws from torch's global generator, whichever was given.",
    caught_by="test_the_generator_decides",
)
def generator_ignored(data, batch_size, context, generator=None):
    return get_batch(data, batch_size, context)


@mistake(
    "get_batch",
    seen="One window was asked for several times, and you gave it once.",
    named="This equals starts that are drawn without replacement.",
    caught_by=ONE,
)
def without_replacement(data, batch_size, context, generator=None):
    starts = torch.randperm(_room(data, context), generator=generator)[:batch_size]
    windows = _windows(data, starts, context + 1)
    return windows[:, :-1], windows[:, 1:]


@mistake(
    "get_batch",
    seen="Your windows never overlap by a part: only some places of the text are ever a beginning.",
    named="This equals windows cut at multiples of the context.",
    caught_by=LIKELY,
)
def cut_in_blocks(data, batch_size, context, generator=None):
    blocks = _room(data, context) // context + (_room(data, context) % context > 0)
    starts = context * torch.randint(max(blocks, 1), (batch_size,), generator=generator)
    windows = _windows(data, starts.clamp(max=_room(data, context) - 1), context + 1)
    return windows[:, :-1], windows[:, 1:]


# ------------------------------------------------------------------------------------------------------------- evaluate

ALIKE = "test_each_next_token_counts_once_and_alike"
FULL = "test_where_all_windows_are_full"
DROPOUT = "test_dropout_sleeps_during_the_exam"
MODE = "test_the_model_keeps_its_mode"


def _examined(model, data, context, batch_size, mean, *, length=None, shift=1, mode=False, restore=True, grad=False):
    """evaluate with one part exchanged: `mean` makes the answer of a list of batches of windows of losses."""
    if len(data) < 2:
        raise ValueError("nothing to predict")
    context = model.config.context if context is None else context
    x, y = data[:-shift], data[shift:]
    windows = list(zip(x.split(context), y.split(context), strict=True))
    full = [w for w in windows if len(w[0]) == context]
    rest = [w for w in windows if len(w[0]) < context]
    groups = [full[i : i + batch_size] for i in range(0, len(full), batch_size)] + ([rest] if rest else [])
    was = model.training
    model.train(mode)
    batches = []
    with torch.set_grad_enabled(grad):
        for group in groups:
            a, b = torch.stack([w[0] for w in group]), torch.stack([w[1] for w in group])
            losses = F.cross_entropy(model(a).flatten(0, 1), b.flatten(), reduction="none").view(b.shape)
            batches.append(losses.detach())
    if restore:
        model.train(was)
    return float(mean(batches))


def _per_token(batches):
    return torch.cat([losses.flatten() for losses in batches]).mean()


@mistake(
    "evaluate",
    seen="A short last batch weighs as much as a full one.",
    named="This equals the mean of the batches' means.",
    caught_by=ALIKE,
)
def mean_of_batch_means(model, data, context=None, batch_size=32):
    return _examined(model, data, context, batch_size, lambda batches: torch.stack([b.mean() for b in batches]).mean())


@mistake(
    "evaluate",
    seen="A short last window weighs as much as a full one.",
    named="This equals the mean of the windows' means.",
    caught_by=ALIKE,
)
def mean_of_window_means(model, data, context=None, batch_size=32):
    return _examined(model, data, context, batch_size, lambda batches: torch.cat([b.mean(1) for b in batches]).mean())


@mistake(
    "evaluate",
    seen="The end of the text was never scored.",
    named="This equals the mean over full windows alone.",
    caught_by=ALIKE,
)
def drops_the_tail(model, data, context=None, batch_size=32):
    context = model.config.context if context is None else context
    whole = (len(data) - 1) // context * context
    return _examined(model, data[: whole + 1] if whole else data, context, batch_size, _per_token)


@mistake(
    "evaluate",
    seen="At the end of each window a token went unasked.",
    named="This equals windows that are cut first and shifted then: no window predicts the first token of the next.",
    caught_by=(ALIKE, FULL),
)
def seams_unasked(model, data, context=None, batch_size=32):
    if len(data) < 2:
        raise ValueError("nothing to predict")
    context = model.config.context if context is None else context
    total, count = 0.0, 0
    was = model.training
    model.eval()
    with torch.no_grad():
        for piece in data.split(context):
            if len(piece) > 1:
                losses = F.cross_entropy(model(piece[None, :-1])[0], piece[1:], reduction="sum")
                total, count = total + losses.item(), count + len(piece) - 1
    model.train(was)
    return total / max(count, 1)


@mistake(
    "evaluate",
    seen="Two evaluations of one model disagree.",
    named="This equals the mean over windows that were drawn at random.",
    caught_by=ALIKE,
)
def random_windows(model, data, context=None, batch_size=32):
    if len(data) < 2:
        raise ValueError("nothing to predict")
    context = min(model.config.context if context is None else context, len(data) - 1)
    drawn = [get_batch(data, batch_size, context) for _ in range(4)]
    was = model.training
    model.eval()
    with torch.no_grad():
        losses = [F.cross_entropy(model(x).flatten(0, 1), y.flatten()).item() for x, y in drawn]
    model.train(was)
    return sum(losses) / len(losses)


@mistake(
    "evaluate",
    seen="Evaluate twice: does a model change its mind?",
    named="This equals an evaluation with dropout at work.",
    caught_by=DROPOUT,
)
def dropout_live(model, data, context=None, batch_size=32):
    return _examined(model, data, context, batch_size, _per_token, mode=model.training)


@mistake(
    "evaluate",
    seen="Your model came back from the exam unable to train.",
    named="This equals an evaluation that leaves the model in eval mode.",
    caught_by=MODE,
)
def mode_not_restored(model, data, context=None, batch_size=32):
    return _examined(model, data, context, batch_size, _per_token, restore=False)


@mistake(
    "evaluate",
    seen="Your model came to the exam at rest and left it in training.",
    named="This equals an evaluation that puts every model into training mode at its end.",
    caught_by=MODE,
)
def always_trains_afterwards(model, data, context=None, batch_size=32):
    loss = _examined(model, data, context, batch_size, _per_token)
    model.train()
    return loss


@mistake(
    "evaluate",
    seen="While it was examined, the model prepared to learn from it.",
    named="This equals an evaluation with gradients switched on.",
    caught_by=(ALIKE, FULL),
)
def with_gradients(model, data, context=None, batch_size=32):
    return _examined(model, data, context, batch_size, _per_token, grad=True)


@mistake(
    "evaluate",
    seen="Your number is smaller or larger by one factor, whatever the text: which unit was asked for?",
    named="This equals the answer in bits.",
    caught_by=(ALIKE, FULL),
)
def in_bits(model, data, context=None, batch_size=32):
    return _examined(model, data, context, batch_size, _per_token) / math.log(2)


@mistake(
    "evaluate",
    seen="Your number grows exponentially with the right one.",
    named="This equals the perplexity, the exponential of the loss.",
    caught_by=(ALIKE, FULL),
)
def perplexity(model, data, context=None, batch_size=32):
    return math.exp(_examined(model, data, context, batch_size, _per_token))


@mistake(
    "evaluate",
    seen="Your number grows with the length of the text.",
    named="This equals the sum over all tokens.",
    caught_by=(ALIKE, FULL),
)
def summed(model, data, context=None, batch_size=32):
    return _examined(model, data, context, batch_size, _per_token) * (len(data) - 1)


@mistake(
    "evaluate",
    seen="The model was asked to repeat what it read.",
    named="This equals an evaluation on targets that are not shifted.",
    caught_by=(ALIKE, FULL),
)
def evaluated_on_its_input(model, data, context=None, batch_size=32):
    if len(data) < 2:
        raise ValueError("nothing to predict")
    context = model.config.context if context is None else context
    total = 0.0
    was = model.training
    model.eval()
    with torch.no_grad():
        for piece in data[:-1].split(context):
            total += F.cross_entropy(model(piece[None])[0], piece, reduction="sum").item()
    model.train(was)
    return total / (len(data) - 1)


@mistake(
    "evaluate",
    seen="Asked for shorter windows, you gave the same answer.",
    named="This equals an evaluation that always takes the model's own context.",
    caught_by=ALIKE,
)
def context_ignored(model, data, context=None, batch_size=32):
    return _examined(model, data, None, batch_size, _per_token)


# ---------------------------------------------------------------------------------------------------------- checkpoints

SIX = "test_six_steps_are_three_and_three"
ENDS = "test_wherever_it_stops_it_ends_the_same"
NO_GENERATOR = "test_without_a_generator_the_rest_comes_back"


def _changed(path, **changes):
    """Rewrites parts of a checkpoint of the reference's."""
    torch.save(torch.load(path, weights_only=True) | changes, path)


@mistake(
    "save_checkpoint",
    seen="After resuming, Adam has forgotten its averages.",
    named="This equals a checkpoint without the optimiser's state.",
    caught_by=SIX,
)
def optimizer_not_saved(path, model, optimizer, step, generator=None):
    save_checkpoint(path, model, optimizer, step, generator)
    fresh = {"state": {}, "param_groups": optimizer.state_dict()["param_groups"]}
    _changed(path, optimizer=fresh)


@mistake(
    "save_checkpoint",
    seen="The resumed run reads other batches.",
    named="This equals a checkpoint without the generator's state.",
    caught_by=SIX,
)
def generator_not_saved(path, model, optimizer, step, generator=None):
    save_checkpoint(path, model, optimizer, step)


@mistake(
    "save_checkpoint",
    seen="The same batches, other dropout.",
    named="This equals a checkpoint without torch's global random state.",
    caught_by=SIX,
)
def global_rng_not_saved(path, model, optimizer, step, generator=None):
    save_checkpoint(path, model, optimizer, step, generator)
    _changed(path, torch=torch.Generator().manual_seed(0).get_state())


@mistake(
    "save_checkpoint",
    seen="The schedule starts over.",
    named="This equals a checkpoint without the step: 0 comes back.",
    caught_by=SIX,
)
def step_not_saved(path, model, optimizer, step, generator=None):
    save_checkpoint(path, model, optimizer, 0, generator)


@mistake(
    "save_checkpoint",
    seen="Your checkpoint was taken, and training went on somewhere else.",
    named="This equals a save that draws from the random states it should only look at.",
    caught_by=SIX,
)
def saving_draws(path, model, optimizer, step, generator=None):
    save_checkpoint(path, model, optimizer, step, generator)
    torch.rand(1)


@mistake(
    "save_checkpoint",
    seen="After resuming, the learning rate is not the one that was in use.",
    named="This equals a checkpoint with the optimiser's averages but without its settings.",
    caught_by=SIX,
)
def rate_not_saved(path, model, optimizer, step, generator=None):
    save_checkpoint(path, model, optimizer, step, generator)
    state = copy.deepcopy(optimizer.state_dict())
    for group in state["param_groups"]:
        group["lr"] = 1e-3
    _changed(path, optimizer=state)


@mistake(
    "save_checkpoint",
    seen="After your save, is there a file at that path?",
    named="This equals a save that keeps references to the live objects, which go on changing, and writes no file.",
    caught_by=SIX,
)
def saves_reference(path, model, optimizer, step, generator=None):
    _KEPT[path] = (model.state_dict(), optimizer.state_dict(), step, generator)


_KEPT = {}


@mistake(
    "save_checkpoint",
    seen="Who reads your file has to run whatever is in it.",
    named="This equals a file of pickled objects, which weights_only=True does not read.",
    caught_by="test_the_file_can_be_read_by_who_trusts_nobody",
)
def whole_objects(path, model, optimizer, step, generator=None):
    save_checkpoint(path, model, optimizer, step, generator)
    _changed(path, generator=_Box(generator))


class _Box:
    def __init__(self, generator):
        self.state = None if generator is None else generator.get_state()


@mistake(
    "save_checkpoint",
    seen="The power failed while you wrote, and both checkpoints are gone.",
    named="This equals writing straight over the older file.",
    caught_by="test_a_failure_leaves_the_older_file_whole",
)
def writes_in_place(path, model, optimizer, step, generator=None):
    save_checkpoint(f"{path}.other", _Stateless(), optimizer, step, generator)
    state = torch.load(f"{path}.other", weights_only=True)
    Path(f"{path}.other").unlink()
    torch.save(state | {"model": model.state_dict()}, path)


class _Stateless:
    def state_dict(self):
        return {}


@mistake(
    "save_checkpoint",
    seen="Nothing was stored, and nobody was told.",
    named="This equals a save that swallows its own failure.",
    caught_by="test_a_failure_leaves_the_older_file_whole",
)
def failure_swallowed(path, model, optimizer, step, generator=None):
    try:
        save_checkpoint(path, model, optimizer, step, generator)
    except Exception:
        return


@mistake(
    "save_checkpoint",
    seen="The checkpoint that came back is not the newest.",
    named="This equals a save that never writes over a file.",
    caught_by="test_the_newer_file_takes_the_place_of_the_older",
)
def keeps_the_first(path, model, optimizer, step, generator=None):
    if not Path(path).exists():
        save_checkpoint(path, model, optimizer, step, generator)


def _kept_apart(path, model, optimizer, generator, keep):
    """load_checkpoint, after which `keep` puts back what was there before."""
    before = keep()
    step = load_checkpoint(path, model, optimizer, generator)
    return step, before


@mistake(
    "load_checkpoint",
    seen="After resuming, Adam has forgotten its averages.",
    named="This equals loading everything but the optimiser's state.",
    caught_by=(ENDS, NO_GENERATOR),
)
def optimizer_not_loaded(path, model, optimizer, generator=None):
    step, before = _kept_apart(path, model, optimizer, generator, lambda: copy.deepcopy(optimizer.state_dict()))
    optimizer.load_state_dict(before)
    return step


@mistake(
    "load_checkpoint",
    seen="The resumed run reads other batches.",
    named="This equals loading everything but the generator's state.",
    caught_by=ENDS,
)
def generator_not_loaded(path, model, optimizer, generator=None):
    return load_checkpoint(path, model, optimizer)


@mistake(
    "load_checkpoint",
    seen="The same batches, other dropout.",
    named="This equals loading everything but torch's global random state.",
    caught_by=(ENDS, NO_GENERATOR),
)
def global_rng_not_loaded(path, model, optimizer, generator=None):
    step, before = _kept_apart(path, model, optimizer, generator, torch.get_rng_state)
    torch.set_rng_state(before)
    return step


@mistake(
    "load_checkpoint",
    seen="You took one step more, or one fewer, than was saved.",
    named="This equals returning the next step in place of the one that was saved.",
    caught_by=(ENDS, NO_GENERATOR),
)
def step_off_by_one(path, model, optimizer, generator=None):
    return load_checkpoint(path, model, optimizer, generator) + 1


@mistake(
    "load_checkpoint",
    seen="The model that was given is as fresh as before.",
    named="This equals loading into a copy of the model.",
    caught_by=(ENDS, NO_GENERATOR),
)
def model_not_loaded(path, model, optimizer, generator=None):
    def weights():
        return {name: tensor.clone() for name, tensor in model.state_dict().items()}

    step, before = _kept_apart(path, model, optimizer, generator, weights)
    model.load_state_dict(before)
    return step


@mistake(
    "load_checkpoint",
    seen="There was no file, and training began anew without a word.",
    named="This equals loading that takes a missing file for step 0.",
    caught_by="test_a_file_that_is_not_there_is_no_beginning",
)
def nothing_is_step_zero(path, model, optimizer, generator=None):
    return load_checkpoint(path, model, optimizer, generator) if Path(path).exists() else 0


# ---------------------------------------------------------------------------------------------------------------- train

WORLD = "test_the_small_world_is_learnt"
READS = "test_it_reads_text_that_it_never_saw"
SEED = "test_a_seed_fixes_the_whole_training"
STEP = "test_a_step_is_one_update_on_one_batch"
STOPPED = "test_a_stopped_training_goes_on"


def _trained(
    config, data, steps, seed, batch_size, on_update, checkpoint, *,
    rate=None, batch=None, loss=None, zero_grad=True, load=load_checkpoint, save=save_checkpoint, save_on_stop=True,
    starts_at=None, weights_seeded=True, tells_first=False,
):  # fmt: skip
    """The reference's loop with one part exchanged. batch(draw, step), loss(logits, y), rate(step)."""
    peak, warmup = PEAK, max(1, round(WARMUP * steps))

    def usual_rate(step):
        if step < warmup:
            return peak * (step + 1) / warmup
        return peak * 0.5 * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup)))

    if weights_seeded:
        torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    model = TinyGPT(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=peak, betas=BETAS, weight_decay=0.1, fused=True)
    done = 0
    if checkpoint is not None and Path(checkpoint).exists():
        done = load(checkpoint, model, optimizer, generator)
        done = done if starts_at is None else starts_at
    try:
        while done < steps:
            x, y = (batch or (lambda draw, step: draw()))(
                lambda: get_batch(data, batch_size, config.context, generator), done
            )
            optimizer.param_groups[0]["lr"] = (rate or usual_rate)(done)
            logits = model(x)
            value = loss(logits, y) if loss else F.cross_entropy(logits.flatten(0, 1), y.flatten())
            if zero_grad:
                optimizer.zero_grad()
            value.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            if tells_first and on_update is not None:
                on_update(model)
            optimizer.step()
            done += 1
            if on_update is not None and not tells_first:
                on_update(model)
        save_on_stop = True
    finally:
        if checkpoint is not None and save_on_stop:
            save(checkpoint, model, optimizer, done, generator)
    return model


PEAK, WARMUP, BETAS = 3e-3, 0.2, (0.9, 0.99)


@mistake(
    "train",
    seen="After all its steps the model knows no more than before the first.",
    named="This equals a model that was never trained.",
    caught_by=(WORLD, READS),
    blocker=True,
)
def untrained(config, data, steps, seed=0, batch_size=32, on_update=None, checkpoint=None):
    torch.manual_seed(seed)
    return TinyGPT(config)


@mistake(
    "train",
    seen="Your model is sure that everything is said twice.",
    named="This equals training on targets that are not shifted.",
    caught_by=WORLD,
)
def trained_on_its_input(config, data, steps, seed=0, batch_size=32, on_update=None, checkpoint=None):
    def repeated(draw, step):
        x, _ = draw()
        return x, x

    return _trained(config, data, steps, seed, batch_size, on_update, checkpoint, batch=repeated)


@mistake(
    "train",
    seen="Training loss near zero, held-out loss worse than guessing.",
    named="This equals training on one batch, over and over.",
    caught_by=WORLD,
)
def same_batch_forever(config, data, steps, seed=0, batch_size=32, on_update=None, checkpoint=None):
    kept = []

    def once(draw, step):
        if not kept:
            kept.append(draw())
        return kept[0]

    return _trained(config, data, steps, seed, batch_size, on_update, checkpoint, batch=once)


@mistake(
    "train",
    seen="Every batch starts where the last one ended: what of the text did your model never read?",
    named="This equals training on windows in the order of the text.",
    caught_by=WORLD,
)
def windows_in_order(config, data, steps, seed=0, batch_size=32, on_update=None, checkpoint=None):
    T = config.context

    def following(draw, step):
        starts = (torch.arange(batch_size) + step * batch_size) * T % (len(data) - T)
        windows = data[starts[:, None] + torch.arange(T + 1)]
        return windows[:, :-1], windows[:, 1:]

    return _trained(config, data, steps, seed, batch_size, on_update, checkpoint, batch=following)


@mistake(
    "train",
    seen="Your learning rate never left the ground.",
    named="This equals a schedule that stays at the first step of its warm-up.",
    caught_by=WORLD,
    twin="untrained",
)
def rate_stays_down(config, data, steps, seed=0, batch_size=32, on_update=None, checkpoint=None):
    return _trained(config, data, steps, seed, batch_size, on_update, checkpoint, rate=lambda step: 1e-3 / steps)


@mistake(
    "train",
    seen="Of 64 predictions a window you learn from one.",
    named="This equals a loss of the last position alone.",
    caught_by=WORLD,
)
def last_position_only(config, data, steps, seed=0, batch_size=32, on_update=None, checkpoint=None):
    def last(logits, y):
        return F.cross_entropy(logits[:, -1], y[:, -1])

    return _trained(config, data, steps, seed, batch_size, on_update, checkpoint, loss=last)


@mistake(
    "train",
    seen="Each step still carries all the steps before it.",
    named="This equals training without zero_grad: gradients add up from step to step.",
    caught_by=READS,
    blocker=True,
)
def no_zero_grad(config, data, steps, seed=0, batch_size=32, on_update=None, checkpoint=None):
    return _trained(config, data, steps, seed, batch_size, on_update, checkpoint, zero_grad=False)


@mistake(
    "train",
    seen="Full speed on the first step: your curve stalls early.",
    named="This equals training without warm-up: the rate begins at its peak.",
    caught_by=READS,
)
def no_warmup(config, data, steps, seed=0, batch_size=32, on_update=None, checkpoint=None):
    def rate(step):
        return PEAK * 0.5 * (1 + math.cos(math.pi * step / steps))

    return _trained(config, data, steps, seed, batch_size, on_update, checkpoint, rate=rate)


@mistake(
    "train",
    seen="Trained twice with one seed, two models came out.",
    named="This equals weights that are drawn before anything is seeded.",
    caught_by=SEED,
)
def weights_not_seeded(config, data, steps, seed=0, batch_size=32, on_update=None, checkpoint=None):
    return _trained(config, data, steps, seed, batch_size, on_update, checkpoint, weights_seeded=False)


@mistake(
    "train",
    seen="Another seed gave the same model.",
    named="This equals a training that has a seed of its own.",
    caught_by=SEED,
)
def seed_ignored(config, data, steps, seed=0, batch_size=32, on_update=None, checkpoint=None):
    return _trained(config, data, steps, 0, batch_size, on_update, checkpoint)


@mistake(
    "train",
    seen="One step was asked for and two were taken, or the other way round. Count them.",
    named="This equals a loop that takes one step too many.",
    caught_by=STEP,
)
def one_step_too_many(config, data, steps, seed=0, batch_size=32, on_update=None, checkpoint=None):
    return _trained(config, data, steps + 1, seed, batch_size, on_update, checkpoint)


@mistake(
    "train",
    seen="Your batches are not as large as was asked for.",
    named="This equals a batch size of its own, 32.",
    caught_by=STEP,
)
def batch_size_ignored(config, data, steps, seed=0, batch_size=32, on_update=None, checkpoint=None):
    return _trained(config, data, steps, seed, 32, on_update, checkpoint)


@mistake(
    "train",
    seen="Nobody was told of your steps.",
    named="This equals a training that never calls on_update.",
    caught_by=STEP,
)
def never_tells(config, data, steps, seed=0, batch_size=32, on_update=None, checkpoint=None):
    return _trained(config, data, steps, seed, batch_size, None, checkpoint)


@mistake(
    "train",
    seen="What does on_update see: the weights before a step, or after it?",
    named="This equals calling on_update before the optimiser's step.",
    caught_by=STEP,
)
def tells_too_early(config, data, steps, seed=0, batch_size=32, on_update=None, checkpoint=None):
    return _trained(config, data, steps, seed, batch_size, on_update, checkpoint, tells_first=True)


@mistake(
    "train",
    seen="One of your steps moved nothing: what is the rate of the first one?",
    named="This equals a warm-up that begins at a rate of 0.",
    caught_by=STEP,
)
def first_rate_is_zero(config, data, steps, seed=0, batch_size=32, on_update=None, checkpoint=None):
    def rate(step):
        warmup = max(1, round(WARMUP * steps))
        if step < warmup:
            return PEAK * step / warmup
        return PEAK * 0.5 * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup)))

    return _trained(config, data, steps, seed, batch_size, on_update, checkpoint, rate=rate)


@mistake(
    "train",
    seen="It was stopped, and what it had done was lost.",
    named="This equals a checkpoint that is written only when all steps are done.",
    caught_by=STOPPED,
)
def saves_only_at_the_end(config, data, steps, seed=0, batch_size=32, on_update=None, checkpoint=None):
    return _trained(config, data, steps, seed, batch_size, on_update, checkpoint, save_on_stop=False)


@mistake(
    "train",
    seen="Taken up again, it had the old weights and counted from nothing.",
    named="This equals a resumed training that begins at step 0.",
    caught_by=STOPPED,
)
def counts_anew(config, data, steps, seed=0, batch_size=32, on_update=None, checkpoint=None):
    return _trained(config, data, steps, seed, batch_size, on_update, checkpoint, starts_at=0)


@mistake(
    "train",
    seen="Taken up again, it reads other batches than it would have read.",
    named="This equals a checkpoint without the generator that batches are drawn from.",
    caught_by=STOPPED,
)
def generator_not_kept(config, data, steps, seed=0, batch_size=32, on_update=None, checkpoint=None):
    def load(path, model, optimizer, generator):
        return load_checkpoint(path, model, optimizer)

    return _trained(config, data, steps, seed, batch_size, on_update, checkpoint, load=load)


@mistake(
    "train",
    seen="Was there a checkpoint? You did not look.",
    named="This equals a training that writes checkpoints and never reads one.",
    caught_by=STOPPED,
)
def never_resumes(config, data, steps, seed=0, batch_size=32, on_update=None, checkpoint=None):
    def load(path, model, optimizer, generator):
        return 0

    return _trained(config, data, steps, seed, batch_size, on_update, checkpoint, load=load)
