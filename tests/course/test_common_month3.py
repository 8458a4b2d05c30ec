"""What Month 3 gives to its students: a model that padding does not move, two toy languages, judges, and weights."""

import importlib
import math
import sys

import pytest

pytestmark = pytest.mark.course


@pytest.fixture(scope="module")
def common(course):
    """Gives a module of shared code by its name."""
    sys.path.insert(0, str(course.root / "solutions"))
    try:
        yield lambda name: importlib.import_module(f"common.{name}")
    finally:
        sys.path.pop(0)


def generator(seed=0):
    import torch

    return torch.Generator().manual_seed(seed)


# ------------------------------------------------------------------------------------------------------------ the model


def test_the_model_has_105_344_weights_under_the_names_that_were_promised(common):
    model = common("tiny_lm").TinyLM(25)
    assert sum(p.numel() for p in model.parameters()) == 105_344
    assert [name for name, _ in model.named_children()] == ["embed", "pos", "dropout", "blocks", "norm", "lm_head"]
    names = {name for name, _ in model.blocks[1].named_children()}
    assert names == {"norm1", "qkv", "out", "norm2", "up", "down", "dropout"}


def test_padding_on_either_side_shifts_nothing(common):
    import torch

    model = common("tiny_lm").TinyLM(25).eval()
    tokens = torch.randint(3, 25, (3, 9), generator=generator())
    truth = model(tokens)
    for left, right in ((4, 0), (0, 5), (3, 2)):
        junk = torch.randint(0, 25, (3, 9 + left + right), generator=generator(1))
        mask = torch.zeros(junk.shape, dtype=torch.bool)
        junk[:, left : left + 9], mask[:, left : left + 9] = tokens, True
        torch.testing.assert_close(model(junk, mask)[:, left : left + 9], truth, rtol=1e-5, atol=1e-5)
    assert model(torch.zeros(2, 3, dtype=torch.int64), torch.zeros(2, 3, dtype=torch.bool)).isfinite().all()


def test_the_future_does_not_reach_back(common):
    import torch

    model = common("tiny_lm").TinyLM(25).eval()
    tokens = torch.randint(3, 25, (2, 8), generator=generator())
    changed = tokens.clone()
    changed[:, 5:] = 3
    mask = torch.ones(2, 8, dtype=torch.bool)
    for given in (None, mask):
        torch.testing.assert_close(model(tokens, given)[:, :5], model(changed, given)[:, :5])


def test_what_does_not_fit_is_refused(common):
    import torch

    model = common("tiny_lm").TinyLM(25, context=6)
    tokens = torch.zeros(2, 9, dtype=torch.int64)
    mask = torch.arange(9).expand(2, 9) >= 3
    assert model(tokens, mask).shape == (2, 9, 25)  # nine columns, six real tokens
    with pytest.raises(ValueError, match="context"):
        model(tokens)
    with pytest.raises(ValueError, match="mask"):
        model(tokens, mask.long())
    with pytest.raises(ValueError, match="heads"):
        common("tiny_lm").TinyLM(25, n_heads=5)


def test_weights_come_back_from_a_file(common, tmp_path):
    import torch

    tiny_lm = common("tiny_lm")
    model = tiny_lm.TinyLM(7, d_model=8, n_layers=1, n_heads=2, context=5, dropout=0.1)
    tiny_lm.save_weights(model, tmp_path / "one.safetensors")
    back = tiny_lm.load_weights(tmp_path / "one.safetensors")
    assert back.config == model.config
    assert not back.training
    for name, tensor in model.state_dict().items():
        assert torch.equal(back.state_dict()[name], tensor)


def test_files_that_are_no_weights_are_refused(common, tmp_path):
    tiny_lm, preferences = common("tiny_lm"), common("preferences")
    with pytest.raises(ValueError, match="no file"):
        tiny_lm.load_weights(tmp_path / "nothing.safetensors")
    (tmp_path / "text.safetensors").write_text("hello")
    with pytest.raises(ValueError, match="no safetensors file"):
        tiny_lm.load_weights(tmp_path / "text.safetensors")
    lm = tiny_lm.TinyLM(7, d_model=8, n_layers=1, n_heads=2, context=5)
    rm = preferences.RewardModel(lm, preferences.ShippedHead(8))
    tiny_lm.save_weights(rm, tmp_path / "rm.safetensors")
    with pytest.raises(ValueError, match="RewardModel"):
        tiny_lm.load_weights(tmp_path / "rm.safetensors")
    with pytest.raises(ValueError, match="sums_warm"):
        tiny_lm.pretrained("sums_cold")
    state = lm.state_dict()
    with pytest.raises(ValueError, match=r"norm\.bias"):
        tiny_lm.fill(lm, {name: state[name] for name in state if name != "norm.bias"}, "a file")
    with pytest.raises(ValueError, match=r"norm\.bias"):
        tiny_lm.fill(lm, state | {"norm.bias": state["norm.bias"][:3]}, "a file")


# -------------------------------------------------------------------------------------------------------------- reviews


@pytest.mark.parametrize(
    ("response", "score"),
    [
        ("very warm but dull . <eos>", 1.5 - 1),
        ("lovely . <eos>", 2),
        ("not lovely . <eos>", -1),
        ("not very awful . <eos>", 1.5),
        ("very damn noisy . <eos>", -1.5),
        ("very damn very lovely . <eos>", 3),  # no bargain: each word acts once
        ("warm and warm . <eos>", 1 - 1.5),
        ("very very warm . <eos>", 1.5 - 1.5),
        ("stupid . <eos>", 0),
        ("clean . it was", 1 - 1),
        ("clean . <eos> lovely", 1),
        ("", -1),
    ],
)
def test_gold_by_hand(common, response, score):
    assert common("reviews").gold(response) == score


def test_harm_and_help_by_hand(common):
    reviews = common("reviews")
    assert reviews.harm("damn warm . <eos>")
    assert not reviews.harm("awful . <eos> damn")
    assert reviews.help_("not dull . <eos>")
    assert not reviews.help_("not dull .")
    assert not reviews.help_("and but . <eos>")


def test_the_language_has_25_words_and_reads_back(common):
    reviews = common("reviews")
    assert len(set(reviews.WORDS)) == len(reviews.WORDS) == 25
    assert (reviews.ID["<pad>"], reviews.ID["<bos>"], reviews.ID["<eos>"]) == (0, 1, 2)
    text = "<bos> honestly the room was very warm but dull . <eos>"
    assert reviews.decode([0, *reviews.encode(text), 0]) == text
    with pytest.raises(ValueError, match="sunny"):
        reviews.encode("the room was sunny")


def test_samples_are_padded_on_their_sides_and_repeatable(common):
    import torch

    reviews = common("reviews")
    prompts, prompt_mask, numbers = reviews.sample_prompts(400, generator())
    responses, mask = reviews.sample_responses(400, generator(1))
    assert set(prompt_mask.sum(1).tolist()) == {4, 5}
    assert (prompts[prompt_mask.sum(1) == 4][:, 0] == 0).all()
    assert [reviews.decode(row) for row in prompts] == [reviews.PROMPTS[i] for i in numbers]
    assert (mask.sum(1).min(), mask.sum(1).max()) >= (1, 10)
    assert (mask[:, :-1] | ~mask[:, 1:]).all()  # real tokens, then padding
    again, _ = reviews.sample_responses(400, generator(1))
    assert torch.equal(responses, again)
    scores = reviews.gold_scores(responses, mask)
    assert scores.dtype == torch.float32
    assert abs(scores.mean()) < 0.5
    assert scores.std() > 1
    tokens, real = reviews.together(prompts, prompt_mask, responses, mask)
    assert tokens.shape == real.shape == (400, 17)


# ----------------------------------------------------------------------------------------------------------------- sums


def test_a_sum_and_its_mirror_stand_on_one_side(common):
    training, held_out = ({tuple(row) for row in side.tolist()} for side in common("sums").split())
    assert len(training) + len(held_out) == 10_000
    assert not training & held_out
    assert held_out == {(b, a) for a, b in held_out}
    assert 990 <= len(held_out) <= 1010


def test_sums_are_written_as_promised(common):
    import torch

    sums = common("sums")
    problems = torch.tensor([[37, 58], [0, 5], [99, 99]])
    tokens, mask = sums.demonstrations(problems)
    assert [sums.decode(row) for row in tokens] == ["37+58=095.", "00+05=005.", "99+99=198."]
    assert mask.tolist() == [[False] * 5 + [True] * 4] * 3
    assert (len(sums.CHARACTERS), sums.CHARACTERS[sums.EOS], sums.CHARACTERS[sums.PAD]) == (14, ".", "_")
    completions = torch.tensor([sums.encode(text) for text in ("095.__", "00500.", "198___")])
    assert sums.exact(problems, completions).tolist() == [True, False, False]
    assert sums.exact(problems, completions[:, :3]).tolist() == [False] * 3
    with pytest.raises(ValueError, match="x"):
        sums.encode("3x5")


@pytest.mark.parametrize("held_out", [False, True])
def test_problems_come_from_their_side(common, held_out):
    import torch

    sums = common("sums")
    side = {tuple(row) for row in sums.split()[held_out].tolist()}
    drawn = sums.sample_problems(300, generator(4), held_out)
    assert {tuple(row) for row in drawn.tolist()} <= side
    assert torch.equal(drawn, sums.sample_problems(300, generator(4), held_out))


# ---------------------------------------------------------------------------------------------------------- preferences


def test_a_judge_who_errs_as_often_as_stated(common):
    import torch

    labels = common("preferences").bradley_terry_labels(torch.full((20_000,), 1.5), torch.tensor(0.5), generator())
    assert labels.dtype == torch.bool
    # sigma(1) = 0.731; 20,000 coins: five standard errors are 0.016
    assert abs(labels.float().mean() - 1 / (1 + math.exp(-1))) < 0.016


def test_judged_pairs_are_pairs_in_the_judges_order(common):
    import torch

    reviews = common("reviews")
    pairs = reviews.judged_pairs(1500, generator(2))
    for which in ("chosen", "rejected"):
        tokens, mask = reviews.whole(pairs, which)
        assert tokens.shape == mask.shape == (1500, 17)
    golds = [reviews.gold_scores(pairs[which], pairs[f"{which}_mask"]) for which in ("chosen", "rejected")]
    assert torch.equal(golds[0] - golds[1], pairs["gap"])
    right = (pairs["gap"] > 0)[pairs["gap"] != 0].float().mean()
    assert 0.78 < right < 0.90  # about one label in five or six is wrong


def test_order_and_calibration_by_hand(common):
    import torch

    measure = common("preferences").order_and_calibration
    gap = torch.tensor([1.0, -1.0, 0.0, 2.0])
    true = torch.sigmoid(gap)
    assert measure(true, gap) == (1.0, pytest.approx(0.0, abs=1e-6))
    assert measure(1 - true, gap)[0] == 0.0
    sure = torch.tensor([0.99, 0.01, 0.5, 0.99])
    # bins: {1, 2} above 0.9 with truths sigma(1), sigma(2); one below 0.1; one in the middle that is right
    high = 2 * abs(0.99 - (1 / (1 + math.exp(-1)) + 1 / (1 + math.exp(-2))) / 2)
    assert measure(sure, gap)[1] == pytest.approx((high + abs(0.01 - 1 / (1 + math.exp(1)))) / 4, abs=1e-5)


def test_the_sampler_stops_each_row_at_its_own_end(common):
    import torch

    preferences, tiny_lm = common("preferences"), common("tiny_lm")
    lm = tiny_lm.TinyLM(5, d_model=8, n_layers=1, n_heads=2, dropout=0.5).train()
    prompts = torch.tensor([[0, 1, 3], [1, 3, 4]]).repeat(50, 1)
    mask = torch.tensor([[False, True, True], [True, True, True]]).repeat(50, 1)
    tokens, real = preferences.generate(lm, prompts, mask, 6, eos=2, pad=0, generator=generator())
    assert lm.training
    assert torch.equal(tokens != 0, real)  # pad is never chosen
    assert real[:, 0].all()
    for row in tokens:
        ends = (row == 2).nonzero()[:, 0]
        assert len(ends) <= 1
        assert not len(ends) or (row[ends[0] + 1 :] == 0).all()
    again, _ = preferences.generate(lm, prompts, mask, 6, eos=2, pad=0, generator=generator())
    assert torch.equal(tokens, again)
    shared, mask = preferences.generate(lm, prompts, mask, 6, eos=0, pad=0, generator=generator())
    ended = shared == 0
    assert (mask & ended).any()  # the end itself is real also where padding has its number


def test_the_sampler_draws_from_the_models_own_distribution(common):
    import torch

    preferences, tiny_lm = common("preferences"), common("tiny_lm")
    torch.manual_seed(0)
    lm = tiny_lm.TinyLM(5, d_model=8, n_layers=1, n_heads=2).eval()
    prompts = torch.tensor([[0, 1, 3]])
    mask = torch.tensor([[False, True, True]])
    many, _ = preferences.generate(
        lm, prompts.repeat(20_000, 1), mask.repeat(20_000, 1), 1, eos=2, pad=0, temperature=0.7, generator=generator()
    )
    with torch.no_grad():
        logits = lm(torch.tensor([[1, 3]]))[0, -1]
    logits[0] = -torch.inf
    truth = (logits / 0.7).softmax(-1)
    assert (many[:, 0].bincount(minlength=5) / 20_000 - truth).abs().max() < 0.02  # five standard errors at most
    greedy, _ = preferences.generate(lm, prompts, mask, 1, eos=2, pad=0, temperature=0)
    assert greedy.item() == truth.argmax()


# -------------------------------------------------------------------------------------------------------------- weights


def test_the_base_model_writes_as_guests_do(common):
    reviews, preferences, tiny_lm = common("reviews"), common("preferences"), common("tiny_lm")
    prompts, mask, _ = reviews.sample_prompts(400, generator(9))
    base = tiny_lm.pretrained("reviews_base")
    responses, real = preferences.generate(base, prompts, mask, 12, eos=2, pad=0, generator=generator(10))
    texts = [reviews.decode(row) for row in responses]
    assert sum(text.endswith("<eos>") for text in texts) >= 390
    assert 0.5 < sum(not reviews.harm(text) for text in texts) / 400 < 0.8
    assert abs(reviews.gold_scores(responses, real).mean()) < 0.5


def test_the_reward_model_mostly_agrees_with_the_rules(common):
    import torch

    reviews = common("reviews")
    model = common("preferences").reward_model("reviews_rm")
    prompts, prompt_mask, _ = reviews.sample_prompts(600, generator(11))
    scores, golds = [], []
    for seed in (12, 13):
        responses, mask = reviews.sample_responses(600, generator(seed))
        with torch.no_grad():
            scores.append(model(*reviews.together(prompts, prompt_mask, responses, mask)))
        golds.append(reviews.gold_scores(responses, mask))
    gap = golds[0] - golds[1]
    right = ((scores[0] > scores[1]) == (gap > 0))[gap != 0]
    assert 0.85 <= right.float().mean() <= 0.98


def test_the_warm_start_of_sums_is_right_about_a_third_of_the_time(common):
    import torch

    sums, preferences = common("sums"), common("preferences")
    problems = common("sums").split()[1]
    prompts = sums.prompts(problems)
    written, _ = preferences.generate(
        common("tiny_lm").pretrained("sums_warm"), prompts, torch.ones_like(prompts, dtype=torch.bool), 8,
        eos=sums.EOS, pad=sums.PAD, temperature=0,
    )  # fmt: skip
    assert 0.25 <= sums.exact(problems, written).float().mean() <= 0.60


def test_released_kits_get_the_weights_as_they_are(course):
    ours, theirs = (course.root / folder / "common" / "weights" for folder in ("solutions", "assignments"))
    names = sorted(path.name for path in ours.glob("*.safetensors"))
    assert names == ["reviews_base.safetensors", "reviews_rm.safetensors", "sums_warm.safetensors"]
    assert all((theirs / name).read_bytes() == (ours / name).read_bytes() for name in names)
