"""Other right implementations, written differently. They must pass everything, and are never called a mistake."""

import copy

import torch
import torch.nn.functional as F
from common.sums import ANSWER, EOS, PAD
from reference import group_advantages, grpo_loss, rollout

from autograder.testing import alternative

# --------------------------------------------------------------------------------------------------------------- verify


@alternative("verify", note="a reader that goes from character to character, without regular expressions")
def by_the_character(completion, answer):
    if isinstance(answer, str):
        wanted = _read(answer)
        if wanted is None:
            raise ValueError(f"cannot read {answer!r}")
    else:
        wanted = answer
    start = max(completion.rfind("="), completion.rfind(":")) + 1
    return 1.0 if _read(completion[start:]) == wanted else 0.0


def _read(text):
    text = text.strip(" \t\r\n")
    sign = 1
    if text[:1] in ("+", "-", "\u2212"):
        sign = 1 if text[0] == "+" else -1
        text = text[1:]
    if text.endswith("."):
        text = text[:-1]
    head, point, tail = text.partition(".")
    if point and (not tail or set(tail) != {"0"}):
        return None
    first, *others = head.split(",")
    if others and (len(first) > 3 or any(len(group) != 3 for group in others)):
        return None
    digits = first + "".join(others)
    if not first or len(digits) > 30 or set(digits) - set("0123456789"):
        return None
    total = 0
    for digit in digits:
        total = 10 * total + ord(digit) - ord("0")
    return sign * total


# ----------------------------------------------------------------------------------------------------- group_advantages


@alternative("group_advantages", note="a loop over groups; variance and baselines from sums")
def group_by_group(rewards, group_size, eps=1e-4, scale="group"):
    if (
        group_size < 1
        or len(rewards) == 0
        or len(rewards) % group_size
        or scale not in ("group", "batch", "none", "loo")
    ):
        raise ValueError("these are no groups")
    if torch.isnan(rewards).any() or torch.isinf(rewards).any():
        raise ValueError("not finite")
    found = torch.zeros_like(rewards, requires_grad=False)
    everything = rewards.detach()
    for g in range(len(rewards) // group_size):
        rows = slice(g * group_size, (g + 1) * group_size)
        r = everything[rows]
        if (r == r[0]).all():
            continue
        mean = r.sum() / group_size
        if scale == "loo":
            found[rows] = r - (r.sum() - r) / (group_size - 1)
        elif scale == "none":
            found[rows] = r - mean
        elif scale == "group":
            found[rows] = (r - mean) / (((r - mean) ** 2).sum().div(group_size - 1).sqrt() + eps)
        else:
            every = everything - everything.sum() / len(rewards)
            found[rows] = (r - mean) / (every.square().sum().div(len(rewards) - 1).sqrt() + eps)
    return found


# ---------------------------------------------------------------------------------------------------------------- k3_kl


@alternative("k3_kl", note="as it stands in the paper, with a ratio of probabilities")
def as_in_the_paper(logp, ref_logp):
    if logp.shape != ref_logp.shape:
        raise ValueError("shapes differ")
    ref_logp = ref_logp.detach()
    return torch.exp(ref_logp - logp) - (ref_logp - logp) - 1


# ------------------------------------------------------------------------------------------------------------ grpo_loss


@alternative("grpo_loss", note="only the True tokens, picked out; each with a weight that makes the mean")
def with_weights(
    logp, old_logp, ref_logp, adv, mask, eps_low=0.2, eps_high=0.2, beta=0.0, aggregate="sequence", max_length=None,
    kl_ratio=False,
):  # fmt: skip
    B = len(logp)
    others = [x for x in (old_logp, ref_logp, mask) if x is not None]
    if B == 0 or any(x.shape != logp.shape for x in others) or adv.shape != (B,):
        raise ValueError("shapes differ, or there are no rows")
    if beta and ref_logp is None:
        raise ValueError("no reference")
    row = mask.nonzero()[:, 0]  # (n,)  the row of each True token
    lengths = mask.sum(1)  # (B,)
    if aggregate == "sequence":
        weight = 1.0 / (B * lengths[row]).to(logp.dtype)
    elif aggregate == "token":
        weight = torch.full((len(row),), 1.0 / max(len(row), 1), dtype=logp.dtype)
    elif aggregate == "constant" and max_length:
        weight = torch.full((len(row),), 1.0 / (B * max_length), dtype=logp.dtype)
    else:
        raise ValueError("no such mean")
    new, A = logp[mask], adv.detach()[row]
    old = new.detach() if old_logp is None else old_logp.detach()[mask]
    ratio = torch.exp(new - old)
    fence = torch.where(A >= 0, ratio.clamp(max=1 + eps_high), ratio.clamp(min=1 - eps_low))
    loss = -fence * A
    if beta:
        distance = ref_logp.detach()[mask] - new
        leash = distance.exp() - 1 - distance
        loss = loss + beta * leash * (ratio if kl_ratio else 1.0)
    return (loss * weight).sum()


# -------------------------------------------------------------------------------------------------------------- rollout


@alternative("rollout", note="a table that is filled in, draws by the Gumbel trick, ends found afterwards")
def with_gumbel(model, prompts, prompt_mask, group_size, max_new_tokens, eos, pad, temperature=1.0, generator=None):
    if not temperature > 0 or min(group_size, max_new_tokens) < 1 or prompts.shape != prompt_mask.shape:
        raise ValueError("nothing can be drawn")
    mode = model.training
    model.train(False)
    B, P = prompts.shape
    rows = torch.arange(B * group_size) // group_size
    tokens = torch.full((B * group_size, P + max_new_tokens), pad)
    tokens[:, :P] = prompts[rows]
    mask = torch.ones(B * group_size, max_new_tokens, dtype=torch.bool)
    logp = []
    with torch.inference_mode():
        for j in range(max_new_tokens):
            real = torch.cat([prompt_mask[rows], mask[:, :j]], 1)
            logits = model(tokens[:, : P + j], real)[:, -1] / temperature
            if pad != eos:
                logits[:, pad] = -float("inf")
            logits = logits - logits.logsumexp(-1, keepdim=True)
            uniform = torch.rand(logits.shape, generator=generator, dtype=torch.float64)
            drawn = (logits - (-uniform.clamp(1e-12, 1 - 1e-12).log()).log()).argmax(-1)
            logp.append(logits[torch.arange(len(rows)), drawn])
            if j:
                mask[:, j] = mask[:, j - 1] & (tokens[:, P + j - 1] != eos)
            tokens[:, P + j] = torch.where(mask[:, j], drawn, pad)
    model.train(mode)
    return {"tokens": tokens, "mask": mask, "logp": torch.stack(logp, 1).clone()}


# ----------------------------------------------------------------------------------------------------------- train_grpo


@alternative("train_grpo", note="a copy is trained; no division by a spread, a sum over a constant, AdamW")
def dr_grpo(policy, prompts, prompt_mask, reward_fn, iterations, seed):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = copy.deepcopy(policy)
        model.eval()
        optimizer = torch.optim.AdamW(model.parameters(), lr=4e-4, weight_decay=0.0, betas=(0.9, 0.99))
        P = prompts.shape[1]
        for _ in range(iterations):
            at = torch.randint(len(prompts), (128,))
            drawn = rollout(model, prompts[at], prompt_mask[at], 8, ANSWER, EOS, PAD)
            tokens, mask = drawn["tokens"], drawn["mask"]
            rewards = reward_fn(tokens[:, :P], tokens[:, P:], mask)
            adv = 2 * group_advantages(rewards, 8, scale="none")
            some = torch.nonzero(adv).flatten()
            real = torch.cat([prompt_mask[at].repeat_interleave(8, 0), mask], 1)
            for _ in range(2):
                for rows in some[torch.randperm(len(some))].split(400) if len(some) else ():
                    logits = model(tokens[rows], real[rows])[:, P - 1 : -1]
                    allowed = torch.arange(logits.shape[-1]) != PAD
                    logits = torch.where(allowed, logits, torch.tensor(-1e9))
                    nll = F.cross_entropy(logits.transpose(1, 2), tokens[rows, P:], reduction="none")
                    loss = grpo_loss(
                        -nll, drawn["logp"][rows], None, adv[rows], mask[rows], 0.2, 0.28,
                        aggregate="constant", max_length=ANSWER,
                    )  # fmt: skip
                    optimizer.zero_grad(set_to_none=True)
                    loss.backward()
                    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                    optimizer.step()
    return model
