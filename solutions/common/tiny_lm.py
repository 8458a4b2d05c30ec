"""A language model of about 105,000 weights, for every assignment that trains one by feedback.

Prompts are padded on the left and responses on the right, so a text's first token may stand anywhere in its row. The mask
says which tokens are real: positions are counted from it, and no token looks at padding. So padding shifts nothing.
"""

import json
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

WEIGHTS = Path(__file__).with_name("weights")
"""Where the weights lie that come with the course."""


class TinyLM(nn.Module):
    """A GPT-2 in small, with a head of its own: tokens (B, T) int64, mask (B, T) bool -> logits (B, T, V).

    mask: True where a token is real; left out, all are. What is said at padding means nothing.
    """

    def __init__(
        self,
        vocab_size: int,
        d_model: int = 64,
        n_layers: int = 2,
        n_heads: int = 4,
        context: int = 32,
        dropout: float = 0.0,
    ):
        super().__init__()
        self.config = {
            "vocab_size": vocab_size, "d_model": d_model, "n_layers": n_layers,
            "n_heads": n_heads, "context": context, "dropout": dropout,
        }  # fmt: skip
        self.embed = nn.Embedding(vocab_size, d_model)
        self.pos = nn.Embedding(context, d_model)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList([Block(d_model, n_heads, dropout) for _ in range(n_layers)])
        self.norm = nn.LayerNorm(d_model)
        self.lm_head = nn.Linear(d_model, vocab_size, bias=False)
        for table in (self.embed, self.pos):
            nn.init.normal_(table.weight, std=0.1)

    def forward(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        return self.lm_head(self.hidden(tokens, mask))  # (B, T, V)

    def hidden(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """What the model knows at each token, after the last norm: (B, T, D)."""
        B, T = tokens.shape
        if mask is None:
            places = torch.arange(T, device=tokens.device).expand(B, T)  # (B, T)
            readable = None
        else:
            if mask.shape != tokens.shape or mask.dtype != torch.bool:
                raise ValueError(f"mask should be bool of shape {tuple(tokens.shape)}, like tokens")
            places = (mask.cumsum(1) - 1).clamp(min=0)  # (B, T)  a real token's place among the real ones
            past = torch.ones(T, T, dtype=torch.bool, device=tokens.device).tril()  # (T, T)
            alone = torch.eye(T, dtype=torch.bool, device=tokens.device)  # (T, T)  padding reads itself: no empty row
            readable = ((past & mask[:, None, :]) | alone)[:, None]  # (B, 1, T, T)
        if T and places.max() >= self.config["context"]:
            raise ValueError(f"{int(places.max()) + 1} tokens are more than the context of {self.config['context']}")
        x = self.dropout(self.embed(tokens) + self.pos(places))  # (B, T, D)
        for block in self.blocks:
            x = block(x, readable)
        return self.norm(x)


class Block(nn.Module):
    """One pre-norm layer of a TinyLM. `readable` (B, 1, T, T) says who may look at whom; None: at its past."""

    def __init__(self, d_model: int, n_heads: int, dropout: float):
        super().__init__()
        if d_model % n_heads:
            raise ValueError(f"{n_heads} heads cannot share a width of {d_model} evenly")
        self.n_heads = n_heads
        self.norm1 = nn.LayerNorm(d_model)
        self.qkv = nn.Linear(d_model, 3 * d_model)
        self.out = nn.Linear(d_model, d_model)
        self.norm2 = nn.LayerNorm(d_model)
        self.up = nn.Linear(d_model, 4 * d_model)
        self.down = nn.Linear(4 * d_model, d_model)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, readable: Tensor | None) -> Tensor:
        B, T, D = x.shape
        qkv = self.qkv(self.norm1(x)).view(B, T, 3, self.n_heads, D // self.n_heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # (B, H, T, d) each
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=readable, is_causal=readable is None)  # (B, H, T, d)
        x = x + self.dropout(self.out(y.transpose(1, 2).reshape(B, T, D)))  # (B, T, D)
        return x + self.dropout(self.down(F.gelu(self.up(self.norm2(x)))))  # (B, T, D)


def save_weights(model: nn.Module, path: str | Path) -> None:
    """Writes a model's weights as safetensors, with its `config` in the header: plain numbers, no code."""
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    save_file(weights, str(path), metadata={"kind": type(model).__name__, "config": json.dumps(model.config)})


def load_weights(path: str | Path) -> TinyLM:
    """The TinyLM that was saved at `path`, in eval mode. ValueError where the file is none."""
    config, weights = read_weights(path, "TinyLM")
    model = TinyLM(**config)
    fill(model, weights, path)
    return model


def pretrained(name: str) -> TinyLM:
    """A model that comes with the course: "reviews_base" or "sums_warm"."""
    return load_weights(shipped(name))


def shipped(name: str) -> Path:
    """Where the weights called `name` lie."""
    path = WEIGHTS / f"{name}.safetensors"
    if not path.is_file():
        known = ", ".join(sorted(each.stem for each in WEIGHTS.glob("*.safetensors")))
        raise ValueError(f"no weights are called {name!r}; there are {known}")
    return path


def read_weights(path: str | Path, kind: str) -> tuple[dict, dict[str, Tensor]]:
    """The config and the tensors of a file that save_weights wrote for a model of this kind."""
    if not Path(path).is_file():
        raise ValueError(f"there is no file {path}")
    try:
        with safe_open(str(path), framework="pt") as file:
            header = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as problem:
        raise ValueError(f"{path} is no safetensors file: {problem}") from problem
    if header.get("kind") != kind or "config" not in header:
        raise ValueError(f"{path} holds {header.get('kind', 'something unnamed')}, not a {kind}")
    return json.loads(header["config"]), weights


def fill(model: nn.Module, weights: dict[str, Tensor], path: str | Path) -> None:
    """Puts weights into a model, which is then in eval mode. ValueError where they do not fit, by name or shape."""
    wanted = model.state_dict()
    for name in sorted(set(wanted) ^ set(weights)):
        raise ValueError(f"{path}: {name} is {'missing' if name in wanted else 'not known to the model'}")
    for name, tensor in wanted.items():
        if weights[name].shape != tensor.shape:
            raise ValueError(f"{path}: {name} is {tuple(weights[name].shape)}, not {tuple(tensor.shape)}")
    model.load_state_dict(weights)
    model.eval()
