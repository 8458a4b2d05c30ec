"""For quantisation: the 256 levels of the second stage, and a model whose activations have outliers."""

import torch
from torch import Tensor, nn


def dynamic_map() -> Tensor:
    """256 signed 8-bit levels in [-1, 1], ascending, denser towards 0: (256,) float32.

    Seven decades with 1, 2, 4, ... 64 levels each, at the middles of equal steps from a tenth of the decade to its end,
    on both sides; and 0 and 1. Source: Dettmers et al. 2022, 8-bit Optimizers, section 1.3.
    """
    levels = [0.0, 1.0]
    for decade in range(7):
        edges = torch.linspace(0.1, 1, 2**decade + 1)  # (2^d + 1,)
        middles = (edges[:-1] + edges[1:]) / 2 * 10.0 ** (decade - 6)  # (2^d,)
        levels += middles.tolist() + (-middles).tolist()
    return torch.tensor(sorted(levels))


@torch.no_grad()
def plant_outliers(model: nn.Module, channels: list[int], factor: float) -> nn.Module:
    """Makes some channels behind each norm of a TinyLM `factor` times as large, and undoes it in the weights that read them.

    The model says what it said before; its activations have outliers now, as those of large models do. In place.
    """
    for block in model.blocks:
        for norm, reader in ((block.norm1, block.qkv), (block.norm2, block.up)):
            norm.weight[channels] *= factor
            norm.bias[channels] *= factor
            reader.weight[:, channels] /= factor
    return model
