"""Writing and reading groups of answers at once says what a plain model says, token by token and gradient by gradient."""

import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "solutions"))
from common import groups, sums  # noqa: E402
from common.tiny_lm import pretrained  # noqa: E402


def plain_log_probs(model, prompts, tokens):
    """One row an answer, with its prompt before it."""
    logits = model(torch.cat([prompts, tokens], dim=1))[:, prompts.shape[1] - 1 : -1]
    logits = logits.masked_fill(torch.arange(logits.shape[2]) == sums.PAD, -1e9)
    return logits.log_softmax(-1).gather(2, tokens[..., None])[..., 0]


@pytest.fixture(scope="module")
def written():
    model = pretrained("sums_warm")
    prompts = sums.prompts(sums.split()[0][:7])
    return model, prompts, *groups.write(model, prompts, 5, 4, sums.EOS, sums.PAD, torch.Generator().manual_seed(1))


def test_what_is_written_is_drawn_from_the_model(written):
    model, prompts, tokens, mask, logp = written
    assert tokens.shape == mask.shape == logp.shape == (35, 4)
    with torch.no_grad():
        plain = plain_log_probs(model, prompts.repeat_interleave(5, 0), tokens)
    torch.testing.assert_close(logp[mask], plain[mask], rtol=1e-4, atol=1e-5)
    assert not logp[~mask].any()


def test_an_answer_ends_where_it_ends(written):
    _, _, tokens, mask, _ = written
    for row, real in zip(tokens.tolist(), mask.tolist(), strict=True):
        ends = row.index(sums.EOS) if sums.EOS in row else 3
        assert real == [place <= ends for place in range(4)]
        assert all(token == sums.PAD for token in row[ends + 1 :])


def test_a_token_is_drawn_as_often_as_it_is_likely():
    model, prompts = pretrained("sums_warm"), sums.prompts(sums.split()[0][:1])
    tokens, _, _ = groups.write(model, prompts, 20_000, 1, sums.EOS, sums.PAD, torch.Generator().manual_seed(0))
    with torch.no_grad():
        logits = model(prompts)[0, -1]
    logits[sums.PAD] = -torch.inf
    share = tokens[:, 0].bincount(minlength=14) / 20_000
    assert (share - logits.softmax(-1)).abs().max() < 0.015  # four standard errors of a half


def test_no_answer_sees_another_and_gradients_are_the_same(written):
    model, prompts, tokens, mask, _ = written
    weights = list(model.parameters())
    packed = groups.log_probs(model, prompts, tokens, sums.PAD)
    plain = plain_log_probs(model, prompts.repeat_interleave(5, 0), tokens)
    torch.testing.assert_close(packed[mask], plain[mask], rtol=1e-4, atol=1e-5)
    factors = torch.randn(mask.shape, generator=torch.Generator().manual_seed(3))
    mine, theirs = (torch.autograd.grad((logp * factors)[mask].sum(), weights) for logp in (packed, plain))
    for one, other in zip(mine, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


def test_the_mode_of_a_model_is_kept(written):
    model, prompts = written[:2]
    model.train()
    groups.write(model, prompts, 2, 2, sums.EOS, sums.PAD)
    assert model.training
    model.eval()
