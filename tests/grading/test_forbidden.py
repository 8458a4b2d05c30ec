"""A forbidden helper is found through the file's own imports, and charged to the definition that uses it."""

import ast

import pytest

from autograder.grading.forbidden import forbidden_uses

RULES = (
    "torch.nn.functional.scaled_dot_product_attention",
    "torch.nn.MultiheadAttention",
    "torch.nn.Transformer*",
    "transformers",
)


def uses(text: str) -> dict[str, str]:
    return {owner: name for owner, (name, _) in forbidden_uses(ast.parse(text), RULES).items()}


@pytest.mark.parametrize(
    "text",
    [
        "import torch.nn.functional as F\ndef attention(q): return F.scaled_dot_product_attention(q, q, q)",
        "import torch\ndef attention(q): return torch.nn.functional.scaled_dot_product_attention(q, q, q)",
        "from torch.nn import functional\ndef attention(q): return functional.scaled_dot_product_attention(q)",
        "def attention(q):\n    from torch.nn.functional import scaled_dot_product_attention as s\n    return s(q, q, q)",
        "from torch import nn\nclass attention(nn.Module):\n    def f(self): return nn.TransformerEncoderLayer(4, 2)",
        "from torch import nn\ndef attention(q): return nn.MultiheadAttention(4, 2)",
    ],
)
def test_a_forbidden_helper_is_found_however_it_is_imported(text):
    assert list(uses(text)) == ["attention"]


def test_an_import_at_the_top_is_charged_to_the_module():
    assert list(uses("import transformers\n")) == [""]


@pytest.mark.parametrize(
    "text",
    [
        "import torch\ndef attention(q): return torch.softmax(q, -1)",
        "# F.scaled_dot_product_attention is forbidden\nx = 'scaled_dot_product_attention'\n",
        "def scaled_dot_product_attention(q): return q\ndef attention(q): return scaled_dot_product_attention(q)",
        "from .local import transformers_like\n",
    ],
)
def test_what_only_looks_alike_is_allowed(text):
    assert uses(text) == {}
