"""Small functions that run beside the student's code: they call, chain and measure, and return plain data.

Each takes the student's module first. They return values, never a verdict: what is right is decided elsewhere.
"""

import torch
from common.tiny_lm import TinyLM


def quantized(student, name, *asked):
    """What one of the functions returns, as a list."""
    return list(getattr(student, name)(*asked))


def smoothed(student, norm_weight, norm_bias, W, s):
    """What fold returns, as a list."""
    return list(student.fold(norm_weight, norm_bias, W, s))


def bits_of(student, cases):
    """The bits of several settings."""
    return [float(student.bits_per_weight(*case)) for case in cases]


def round_trip(student, x, block):
    """x, packed and unpacked again."""
    return student.nf4_dequantize(*student.nf4_quantize(x, block), tuple(x.shape), block)


def quantized_twice(student, absmax, block):
    """Maxima, quantised and back."""
    return student.double_dequantize(*student.double_quantize(absmax, block), block)


def spoken(student, config, weights, tokens, mask, how, largest=None):
    """The logits of a language model whose attention and MLP inputs go through the student's functions.

    how: "plain", "llm_int8" or "smooth"; for "smooth" `largest` has the largest activations before qkv and up of each
    block, (K,) each, and the products after it have one scale for all of x and a scale for each row of the weights.
    """
    model = TinyLM(**config)
    model.load_state_dict(weights)
    model.eval()
    for i, block in enumerate(model.blocks):
        for norm, name in ((block.norm1, "qkv"), (block.norm2, "up")):
            layer = getattr(block, name)
            if how == "smooth":
                s = student.smooth(largest[i][name], layer.weight.detach())
                parts = student.fold(norm.weight.detach(), norm.bias.detach(), layer.weight.detach(), s)
                with torch.no_grad():
                    for into, part in zip((norm.weight, norm.bias, layer.weight), parts, strict=True):
                        into.copy_(part)
            setattr(block, name, _Through(student, layer, how))
    with torch.no_grad():
        return model(tokens, mask)


class _Through(torch.nn.Module):
    """A linear layer that computes with the student's functions."""

    def __init__(self, student, layer, how):
        super().__init__()
        self.student, self.how = student, how
        self.weight, self.bias = layer.weight.detach(), layer.bias.detach()

    def forward(self, x):
        if self.how == "llm_int8":
            return self.student.llm_int8_linear(x, self.weight, self.bias)
        if self.how == "smooth":
            codes, scale = self.student.absmax_quantize(x)
            w_codes, w_scale = self.student.absmax_quantize(self.weight, 8, 1)
            return (codes.float() @ w_codes.float().T) * scale * w_scale.T + self.bias
        return self.student.int8_matmul(x.reshape(-1, x.shape[-1]), self.weight).view(*x.shape[:-1], -1) + self.bias
