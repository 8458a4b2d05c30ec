"""What a03 gives to its students, and later assignments train: the given model is the one that a03 asks for."""

import sys

import pytest

from autograder.testing.modules import Author

pytestmark = pytest.mark.course

GRADED = {
    "vocab_size": 103, "context": 64, "n_layers": 4, "n_heads": 4, "d_model": 128, "d_ff": 512,
    "norm": "layernorm", "mlp": "gelu", "positions": "learned", "bias": True,
}  # fmt: skip


@pytest.fixture(scope="module")
def given(course):
    """The module of shared code, as assignments import it."""
    sys.path.insert(0, str(course.root / "solutions"))
    try:
        from common import transformer
    finally:
        sys.path.pop(0)
    return transformer


@pytest.fixture(scope="module")
def reference(course, given):
    """The reference of a03."""
    return Author(course.assignment("a03").solution_folder).reference()


def test_weights_of_the_given_model_go_by_the_names_that_a03_asks_for(given, reference):
    config = given.GPTConfig(**{**GRADED, "n_layers": 2, "d_model": 16, "d_ff": 24})
    theirs, ours = given.TinyGPT(config).state_dict(), reference.GPT(config).state_dict()
    assert {name: tensor.shape for name, tensor in theirs.items()} == {n: t.shape for n, t in ours.items()}


def test_the_model_that_is_trained_later_has_814_720_parameters(given, reference):
    config = given.GPTConfig(**GRADED)
    assert sum(p.numel() for p in given.TinyGPT(config).parameters()) == 814_720
    assert reference.count_parameters(config) == 814_720


def test_a_fresh_given_model_is_almost_equally_unsure(given):
    import math

    import torch

    torch.manual_seed(0)
    model = given.TinyGPT(given.GPTConfig(**GRADED)).eval()
    spread = {
        kind: model.get_parameter(f"blocks.1.{kind}.weight").std().item() for kind in ("attn.o_proj", "mlp.up_proj")
    }
    # 16,384 and 65,536 normal numbers: their spread is known to half a per cent
    assert spread["attn.o_proj"] == pytest.approx(0.02 / math.sqrt(8), rel=0.03)
    assert spread["mlp.up_proj"] == pytest.approx(0.02, rel=0.03)
    logits = model(torch.randint(103, (4, 64)))
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), torch.randint(103, (256,)))
    assert abs(loss.item() - math.log(103)) < 0.15


@pytest.mark.parametrize("other", [{"norm": "rmsnorm"}, {"mlp": "swiglu"}, {"positions": "rope"}])
def test_the_given_model_refuses_what_it_is_not(given, other):
    with pytest.raises(ValueError, match="TinyGPT"):
        given.TinyGPT(given.GPTConfig(**{**GRADED, **other}))


def test_the_given_model_refuses_more_than_its_context(given):
    import torch

    model = given.TinyGPT(given.GPTConfig(**{**GRADED, "context": 5}))
    assert model(torch.zeros(1, 5, dtype=torch.int64)).shape == (1, 5, 103)
    with pytest.raises(ValueError, match="context"):
        model(torch.zeros(1, 6, dtype=torch.int64))
