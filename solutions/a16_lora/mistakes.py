"""Wrong implementations, each right in everything but its one mistake. Every one must be caught by the tests it names.

`seen` is said at once: what shows, or a question. `named` is said later: what the answer equals.
"""

import reference
import torch
import torch.nn.functional as F
from reference import LoRALinear, QLoRALinear, adapter_state_dict, inject
from torch import nn

from autograder.testing import mistake

# ----------------------------------------------------------------------------------------------------------- LoRALinear

VALUE = "test_value_and_gradients"
START = "test_it_begins_as_its_base"
DROPPED = "test_dropout_is_on_the_path_only"
MERGED = "test_a_merged_layer_says_the_same"
ONCE = "test_the_weight_changes_once"
RANK = "test_a_path_without_rank"


@mistake(
    "LoRALinear",
    seen="Changing alpha changes nothing.",
    named="This equals a path with the scale 1.",
    caught_by=VALUE,
)
class alpha_ignored(LoRALinear):
    def __init__(self, base, r, alpha, dropout=0.0):
        super().__init__(base, r, alpha, dropout)
        self.scale = 1.0


@mistake(
    "LoRALinear",
    seen="Twice the rank with the same rows, and the path is twice as strong.",
    named="This equals a path with the scale alpha.",
    caught_by=VALUE,
)
class alpha_not_divided(LoRALinear):
    def __init__(self, base, r, alpha, dropout=0.0):
        super().__init__(base, r, alpha, dropout)
        self.scale = alpha


@mistake(
    "LoRALinear",
    seen="That is another method's scale; the stated one divides by the rank itself.",
    named="This equals alpha over the square root of r: the scale of rsLoRA.",
    caught_by=VALUE,
)
class alpha_over_sqrt_r(LoRALinear):
    def __init__(self, base, r, alpha, dropout=0.0):
        super().__init__(base, r, alpha, dropout)
        self.scale = alpha / max(r, 1) ** 0.5


@mistake(
    "LoRALinear",
    seen="With both factors at zero, neither ever receives a gradient.",
    named="This equals a layer whose A begins at zero as well.",
    caught_by=START,
)
class both_zero(LoRALinear):
    def __init__(self, base, r, alpha, dropout=0.0):
        super().__init__(base, r, alpha, dropout)
        nn.init.zeros_(self.lora_A)


@mistake(
    "LoRALinear",
    seen="Before training the layer should be exactly its base.",
    named="This equals a layer whose B begins at random as well.",
    caught_by=START,
)
class both_random(LoRALinear):
    def __init__(self, base, r, alpha, dropout=0.0):
        super().__init__(base, r, alpha, dropout)
        nn.init.uniform_(self.lora_B, -0.1, 0.1)


@mistake(
    "LoRALinear",
    seen="From where to where are A's entries drawn?",
    named="This equals an A from a normal distribution.",
    caught_by=START,
)
class normal_start(LoRALinear):
    def __init__(self, base, r, alpha, dropout=0.0):
        super().__init__(base, r, alpha, dropout)
        nn.init.normal_(self.lora_A, std=base.in_features**-0.5)


@mistake(
    "LoRALinear",
    seen="One factor never moves, and it holds the product at zero.",
    named="This equals a layer of which only A learns.",
    caught_by=START,
)
class b_frozen(LoRALinear):
    def __init__(self, base, r, alpha, dropout=0.0):
        super().__init__(base, r, alpha, dropout)
        self.lora_B.requires_grad_(False)


@mistake(
    "LoRALinear",
    seen="The frozen weight receives gradient.",
    named="This equals a layer whose base learns as well.",
    caught_by=(VALUE, START),
)
class base_learns(LoRALinear):
    def __init__(self, base, r, alpha, dropout=0.0):
        super().__init__(base, r, alpha, dropout)
        self.base.requires_grad_(True)


@mistake(
    "LoRALinear",
    seen="Is everything of the base frozen?",
    named="This equals a base whose weight is frozen and whose bias learns.",
    caught_by=(VALUE, START),
)
class bias_learns(LoRALinear):
    def __init__(self, base, r, alpha, dropout=0.0):
        super().__init__(base, r, alpha, dropout)
        if base.bias is not None:
            base.bias.requires_grad_(True)


@mistake(
    "LoRALinear",
    seen="Nothing below this layer learns any more: what is the gradient for x?",
    named="This equals a base that is computed without gradients.",
    caught_by=VALUE,
)
class x_cut_off(LoRALinear):
    def forward(self, x):
        return super().forward(x) + (self.base(x).detach() - self.base(x))


@mistake(
    "LoRALinear",
    seen="Dropout reaches the frozen path too.",
    named="This equals dropout of the input of both paths.",
    caught_by=DROPPED,
)
class dropout_on_base(LoRALinear):
    def forward(self, x):
        if self.merged:
            return self.base(x)
        x = self.dropout(x)
        return self.base(x) + self.scale * (x @ self.lora_A.T @ self.lora_B.T)


@mistake(
    "LoRALinear",
    seen="What exactly is dropped: the path's input, or something behind A?",
    named="This equals dropout between A and B.",
    caught_by=DROPPED,
)
class dropout_behind_a(LoRALinear):
    def forward(self, x):
        if self.merged:
            return self.base(x)
        return self.base(x) + self.scale * (self.dropout(x @ self.lora_A.T) @ self.lora_B.T)


@mistake(
    "LoRALinear",
    seen="With or without dropout, training looks the same.",
    named="This equals a layer without dropout.",
    caught_by=DROPPED,
)
class dropout_ignored(LoRALinear):
    def __init__(self, base, r, alpha, dropout=0.0):
        super().__init__(base, r, alpha)


@mistake(
    "LoRALinear",
    seen="In eval mode your layer says another thing each time.",
    named="This equals dropout that never ends.",
    caught_by="test_nothing_is_dropped_in_eval_mode",
)
class always_drops(LoRALinear):
    def forward(self, x):
        if self.merged:
            return self.base(x)
        kept = F.dropout(x, self.dropout.p, True)
        return self.base(x) + self.scale * (kept @ self.lora_A.T @ self.lora_B.T)


@mistake(
    "LoRALinear",
    seen="After merging, the update is counted twice.",
    named="This equals a merged weight and the path beside it.",
    caught_by=MERGED,
)
class merged_and_path(LoRALinear):
    def forward(self, x):
        return self.base(x) + self.scale * (self.dropout(x) @ self.lora_A.T @ self.lora_B.T)


@mistake(
    "LoRALinear",
    seen="A merged layer says less than it did: which scale has the product in the weight?",
    named="This equals a merged product without alpha / r.",
    caught_by=(MERGED, ONCE),
)
class merged_without_scale(LoRALinear):
    def merge(self):
        if not self.merged:
            self.base.weight.data += self.lora_B.detach() @ self.lora_A.detach()
        self.merged = True

    def unmerge(self):
        if self.merged:
            self.base.weight.data -= self.lora_B.detach() @ self.lora_A.detach()
        self.merged = False


@mistake(
    "LoRALinear",
    seen="Merging a second time changes the layer.",
    named="This equals a merge that adds the product at each call.",
    caught_by=ONCE,
)
class merge_twice(LoRALinear):
    def merge(self):
        self.merged = False
        super().merge()


@mistake(
    "LoRALinear",
    seen="Unmerging what is not merged changes the layer.",
    named="This equals an unmerge that takes the product away at each call.",
    caught_by=ONCE,
)
class unmerge_twice(LoRALinear):
    def unmerge(self):
        self.merged = True
        super().unmerge()


@mistake(
    "LoRALinear",
    seen="After unmerging, what does the weight hold?",
    named="This equals an unmerge that only turns the path on again.",
    caught_by=(ONCE, MERGED),
)
class unmerge_only_flag(LoRALinear):
    def unmerge(self):
        self.merged = False


@mistake(
    "LoRALinear",
    seen="What is a path of rank 0?",
    named="This equals a layer that accepts any r.",
    caught_by=RANK,
)
class any_rank(LoRALinear):
    def __init__(self, base, r, alpha, dropout=0.0):
        super().__init__(base, max(r, 1), alpha, dropout)


# ---------------------------------------------------------------------------------------------------- merge and unmerge

ALL_MERGED = "test_all_layers_are_merged"
BACK = "test_and_back_again"


@mistake(
    "merge",
    seen="Layers deep in the model are left out.",
    named="This equals a merge of the layers at the top.",
    caught_by=ALL_MERGED,
)
def merges_the_top(model):
    for module in (model, *model.children()):
        if hasattr(module, "lora_A"):
            module.merge()


@mistake(
    "merge",
    seen="And if the model *is* such a layer?",
    named="This equals a merge of what is inside the model only.",
    caught_by=ALL_MERGED,
)
def merges_below(model):
    for module in list(model.modules())[1:]:
        if hasattr(module, "lora_A"):
            module.merge()


@mistake(
    "merge",
    seen="A second merge of the model changes it.",
    named="This equals a merge that adds again, whether a layer is merged or not.",
    caught_by="test_merged_a_second_time",
)
def model_merge_twice(model):
    for module in model.modules():
        if hasattr(module, "dequantized"):
            module.merge()
        if hasattr(module, "unmerge"):
            module.merged = False
            module.merge()


@mistake(
    "merge",
    seen="Four-bit codes were passed over in silence.",
    named="This equals a merge that leaves four-bit layers out.",
    caught_by="test_codes_in_a_model",
)
def codes_passed_over(model):
    for module in model.modules():
        if hasattr(module, "unmerge"):
            module.merge()


@mistake(
    "unmerge",
    seen="Layers deep in the model stay merged.",
    named="This equals an unmerge of the layers at the top.",
    caught_by=BACK,
)
def unmerges_the_top(model):
    for module in (model, *model.children()):
        if hasattr(module, "unmerge"):
            module.unmerge()


@mistake(
    "unmerge",
    seen="And if the model *is* such a layer?",
    named="This equals an unmerge of what is inside the model only.",
    caught_by=BACK,
)
def unmerges_below(model):
    for module in list(model.modules())[1:]:
        if hasattr(module, "unmerge"):
            module.unmerge()


# --------------------------------------------------------------------------------------------------------------- inject

WHO = "test_who_is_adapted"
SAYS = "test_what_the_adapted_model_says"
SHARED = "test_a_shared_weight"
NOBODY = "test_nobody_of_that_name"


def _injected(model, fits, r, alpha, dropout, frozen=True, in_order=lambda names: names, only=None):
    """The reference's inject with another question to the names."""
    names = [n for n, m in model.named_modules() if isinstance(m, nn.Linear) and fits(n)][:only]
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    if not names:
        raise ValueError("no layer")
    inject(model, names, r, alpha, dropout)
    if not frozen:
        for name, p in model.named_parameters():
            p.requires_grad_(p.requires_grad or name in trained)
    return in_order(names)


@mistake(
    "inject",
    seen="A target matches names that only contain it.",
    named="This equals a search for the target anywhere in the name.",
    caught_by="test_a_name_ends_in_its_target",
)
def substring_targets(model, targets, r=8, alpha=16.0, dropout=0.0):
    return _injected(model, lambda name: any(t in name for t in targets), r, alpha, dropout)


@mistake(
    "inject",
    seen='"proj" is no target of "in_proj". Where does a part of a name begin?',
    named="This equals names that end in the target, with or without a dot before it.",
    caught_by=WHO,
)
def ends_without_dot(model, targets, r=8, alpha=16.0, dropout=0.0):
    return _injected(model, lambda name: name.endswith(tuple(targets)), r, alpha, dropout)


@mistake(
    "inject",
    seen="A target may have more than one part.",
    named="This equals targets that are compared with the last part of a name.",
    caught_by=WHO,
)
def last_part_only(model, targets, r=8, alpha=16.0, dropout=0.0):
    return _injected(model, lambda name: name.rpartition(".")[2] in targets, r, alpha, dropout)


@mistake(
    "inject",
    seen="A target fits every layer of that name, at whatever depth.",
    named="This equals targets that have to be the whole name.",
    caught_by=WHO,
)
def whole_names_only(model, targets, r=8, alpha=16.0, dropout=0.0):
    return _injected(model, lambda name: name in targets, r, alpha, dropout)


def _fits(targets):
    return lambda name: any(name == t or name.endswith("." + t) for t in targets)


@mistake(
    "inject",
    seen="The layers that were not named learn as before.",
    named="This equals a model of which only the adapted layers are frozen.",
    caught_by=WHO,
)
def rest_not_frozen(model, targets, r=8, alpha=16.0, dropout=0.0):
    return _injected(model, _fits(targets), r, alpha, dropout, frozen=False)


@mistake(
    "inject",
    seen="How many layers does a target fit?",
    named="This equals an inject that stops at the first layer.",
    caught_by=WHO,
)
def first_only(model, targets, r=8, alpha=16.0, dropout=0.0):
    return _injected(model, _fits(targets), r, alpha, dropout, only=1)


@mistake(
    "inject",
    seen="In which order do your names come?",
    named="This equals names in the order of the alphabet.",
    caught_by=WHO,
)
def names_sorted(model, targets, r=8, alpha=16.0, dropout=0.0):
    return _injected(model, _fits(targets), r, alpha, dropout, in_order=sorted)


@mistake(
    "inject",
    seen="Does your alpha reach the layers?",
    named="This equals layers with the default alpha.",
    caught_by=SAYS,
)
def default_alpha(model, targets, r=8, alpha=16.0, dropout=0.0):
    return inject(model, targets, r, 16.0, dropout)


@mistake(
    "inject",
    seen="Does your dropout reach the layers?",
    named="This equals layers without dropout.",
    caught_by="test_dropout_is_passed_on",
)
def dropout_lost(model, targets, r=8, alpha=16.0, dropout=0.0):
    return inject(model, targets, r, alpha)


@mistake(
    "inject",
    seen="A wrong target, and you train nothing without a word.",
    named="This equals a model that is frozen and returned although no layer was found.",
    caught_by=NOBODY,
)
def nobody_is_fine(model, targets, r=8, alpha=16.0, dropout=0.0):
    if not any(isinstance(m, nn.Linear) and _fits(targets)(n) for n, m in model.named_modules()):
        model.requires_grad_(False)
        return []
    return inject(model, targets, r, alpha, dropout)


@mistake(
    "inject",
    seen="A refused model has already been frozen.",
    named="This equals an inject that freezes first and looks afterwards.",
    caught_by=(NOBODY, SHARED),
)
def freezes_first(model, targets, r=8, alpha=16.0, dropout=0.0):
    model.requires_grad_(False)
    return inject(model, targets, r, alpha, dropout)


@mistake(
    "inject",
    seen="Who else reads the weight that you are going to merge into?",
    named="This equals an inject that adapts shared weights as well.",
    caught_by=SHARED,
)
def shared_is_fine(model, targets, r=8, alpha=16.0, dropout=0.0):
    names = [n for n, m in model.named_modules() if isinstance(m, nn.Linear) and _fits(targets)(n)]
    if not names:
        raise ValueError("no layer")
    modules = dict(model.named_modules())
    model.requires_grad_(False)
    for name in names:
        parent, _, last = name.rpartition(".")
        setattr(modules[parent], last, LoRALinear(modules[name], r, alpha, dropout))
    return names


# --------------------------------------------------------------------------------------- adapter_state_dict, load_adapter

BY_NAME = "test_factors_by_name"
STAYS = "test_what_is_saved_stays"
LOADED = "test_loaded_by_name"
NO_FIT = "test_what_does_not_fit"


@mistake(
    "adapter_state_dict",
    seen="The adapter file holds the frozen weights as well.",
    named="This equals the state dict of the whole model.",
    caught_by=BY_NAME,
)
def state_dict_has_base(model):
    return {name: tensor.detach().cpu().clone() for name, tensor in model.state_dict().items()}


@mistake(
    "adapter_state_dict",
    seen="Two factors are needed to get the product back.",
    named="This equals B alone.",
    caught_by=BY_NAME,
)
def only_b(model):
    return {name: tensor for name, tensor in adapter_state_dict(model).items() if name.endswith("lora_B")}


@mistake(
    "adapter_state_dict",
    seen="Four-bit layers have an adapter too.",
    named="This equals the factors of LoRALinear only.",
    caught_by=BY_NAME,
)
def codes_left_out(model):
    coded = {name for name, module in model.named_modules() if hasattr(module, "dequantized")}
    return {n: t for n, t in adapter_state_dict(model).items() if n.rpartition(".")[0] not in coded}


@mistake(
    "adapter_state_dict",
    seen="A merged model still has its factors.",
    named="This equals a state that leaves merged layers out.",
    caught_by="test_saved_while_merged",
)
def merged_left_out(model):
    merged = {name for name, module in model.named_modules() if getattr(module, "merged", False)}
    return {n: t for n, t in adapter_state_dict(model).items() if n.rpartition(".")[0] not in merged}


@mistake(
    "adapter_state_dict",
    seen="Train on, and what you saved changes.",
    named="This equals the parameters themselves, not copies.",
    caught_by=STAYS,
)
def not_copied(model):
    return {name: p.detach() for name, p in model.named_parameters() if "lora_" in name}


@mistake(
    "adapter_state_dict",
    seen="What was saved still hangs on a graph.",
    named="This equals copies that are not detached.",
    caught_by=STAYS,
)
def not_detached(model):
    return {name: p.clone() for name, p in model.named_parameters() if "lora_" in name}


def _places(model):
    return {name: p for name, p in model.named_parameters() if "lora_" in name}


def _refuse_merged(model):
    if any(getattr(module, "merged", False) for module in model.modules()):
        raise ValueError("merged")


@mistake(
    "load_adapter",
    seen="A name is missing, and nobody says so.",
    named="This equals a load that takes what it finds.",
    caught_by=NO_FIT,
)
def missing_is_fine(model, state):
    _refuse_merged(model)
    places = _places(model)
    if set(state) - set(places) or any(t.shape != places[n].shape for n, t in state.items()):
        raise ValueError("names or shapes")
    for name, tensor in state.items():
        places[name].data.copy_(tensor)


@mistake(
    "load_adapter",
    seen="A file for another model is loaded without a word.",
    named="This equals a load that passes over unknown names.",
    caught_by=NO_FIT,
)
def unknown_is_fine(model, state):
    reference.load_adapter(model, {name: tensor for name, tensor in state.items() if name in _places(model)})


@mistake(
    "load_adapter",
    seen="Another shape is stretched until it fits.",
    named="This equals a load without a look at the shapes.",
    caught_by=NO_FIT,
)
def shapes_stretched(model, state):
    places = _places(model)
    if set(places) != set(state):
        raise ValueError("names")
    reference.load_adapter(model, {name: tensor.expand_as(places[name]) for name, tensor in state.items()})


@mistake(
    "load_adapter",
    seen="The file was refused, and the model has changed all the same.",
    named="This equals a load that copies while it checks.",
    caught_by=NO_FIT,
)
def checks_too_late(model, state):
    _refuse_merged(model)
    places = _places(model)
    for name, tensor in state.items():
        if name not in places or places[name].shape != tensor.shape:
            raise ValueError(name)
        places[name].data.copy_(tensor)
    if set(places) - set(state):
        raise ValueError("missing")


@mistake(
    "load_adapter",
    seen="The weight still holds the old product.",
    named="This equals a load into a merged model.",
    caught_by="test_a_merged_model_loads_nothing",
)
def merged_is_fine(model, state):
    places = _places(model)
    if set(places) != set(state) or any(t.shape != places[n].shape for n, t in state.items()):
        raise ValueError("names or shapes")
    for name, tensor in state.items():
        places[name].data.copy_(tensor)


@mistake(
    "load_adapter",
    seen="Does an optimiser that was made before still know these parameters?",
    named="This equals new parameters in place of the old ones.",
    caught_by=LOADED,
)
def parameters_replaced(model, state):
    reference.load_adapter(model, state)
    for name, tensor in state.items():
        layer, _, part = name.rpartition(".")
        setattr(model.get_submodule(layer), part, nn.Parameter(tensor.clone()))


@mistake(
    "load_adapter",
    seen="Change the file's tensors, and the model changes.",
    named="This equals a model that holds the file's own tensors.",
    caught_by=LOADED,
)
def the_files_tensors(model, state):
    reference.load_adapter(model, state)
    for name, place in _places(model).items():
        place.data = state[name]


# ------------------------------------------------------------------------------------------------- trainable_parameters

COUNTS = "test_counts"


@mistake(
    "trainable_parameters",
    seen="You counted tensors. How many numbers are there?",
    named="This equals how many tensors there are.",
    caught_by=COUNTS,
)
def counts_tensors(model):
    parameters = list(model.parameters())
    return sum(p.requires_grad for p in parameters), len(parameters)


@mistake(
    "trainable_parameters",
    seen="A tied head is counted twice.",
    named="This equals a count of every module's parameters, shared or not.",
    caught_by=COUNTS,
)
def shared_twice(model):
    own = [p for module in model.modules() for p in module.parameters(recurse=False)]
    return sum(p.numel() for p in own if p.requires_grad), sum(p.numel() for p in own)


@mistake(
    "trainable_parameters",
    seen="Is a buffer a parameter?",
    named="This equals a count with the buffers.",
    caught_by=COUNTS,
)
def buffers_counted(model):
    learns, total = reference.trainable_parameters(model)
    return learns, total + sum(b.numel() for b in model.buffers())


@mistake(
    "trainable_parameters",
    seen="Your second number does not hold the first.",
    named="This equals (trainable, frozen).",
    caught_by=COUNTS,
)
def learns_and_frozen(model):
    learns, total = reference.trainable_parameters(model)
    return learns, total - learns


@mistake(
    "trainable_parameters",
    seen="Everything is trained, whatever is frozen?",
    named="This equals (all, all).",
    caught_by=COUNTS,
)
def frozen_counted(model):
    return (reference.trainable_parameters(model)[1],) * 2


# ---------------------------------------------------------------------------------------------------------- QLoRALinear

CODES = "test_over_codes"
BYTES = "test_bytes"
PLAIN = "test_a_plain_layer_again"
REFUSED = "test_nothing_is_added_to_codes"


@mistake(
    "QLoRALinear",
    seen="Four-bit codes are indices: nothing can be added to them.",
    named="This equals a merge into the packed bytes.",
    caught_by=REFUSED,
)
class merge_into_codes(QLoRALinear):
    def merge(self):
        product = (self.scale * self.lora_B @ self.lora_A).detach().flatten()[: self.packed.numel()]
        self.packed[: product.numel()] += product.to(torch.int64).to(torch.uint8)


@mistake(
    "QLoRALinear",
    seen="What is a path of rank 0?",
    named="This equals a layer that accepts any r.",
    caught_by=REFUSED,
)
class any_rank_over_codes(QLoRALinear):
    def __init__(self, base, r, alpha, dropout=0.0, block=64, double=True):
        super().__init__(base, max(r, 1), alpha, dropout, block, double)


@mistake(
    "QLoRALinear",
    seen="Changing alpha changes nothing.",
    named="This equals a path with the scale 1.",
    caught_by=CODES,
)
class codes_alpha_ignored(QLoRALinear):
    def __init__(self, *settings):
        super().__init__(*settings)
        self.scale = 1.0


@mistake(
    "QLoRALinear",
    seen="Your weight has not lost anything: where are the four bits?",
    named="This equals a base that is not quantised.",
    caught_by=CODES,
)
class not_quantised(QLoRALinear):
    def __init__(self, base, *settings):
        super().__init__(base, *settings)
        self.register_buffer("full", base.weight.detach().clone())

    def weight(self):
        return self.full


@mistake(
    "QLoRALinear",
    seen="The bytes are packed, and the weight is kept beside them.",
    named="This equals a layer that unpacks once and keeps the result.",
    caught_by=BYTES,
)
class unpacked_once(QLoRALinear):
    def __init__(self, *settings):
        super().__init__(*settings)
        self.register_buffer("unpacked", super().weight(), persistent=False)

    def weight(self):
        return self.unpacked


@mistake(
    "QLoRALinear",
    seen="How many bits do your scales have?",
    named="This equals scales in float32, whatever double says.",
    caught_by=(BYTES, CODES),
)
class never_double(QLoRALinear):
    def __init__(self, base, r, alpha, dropout=0.0, block=64, double=True):
        super().__init__(base, r, alpha, dropout, block, False)


@mistake(
    "QLoRALinear",
    seen="Does block reach the quantiser?",
    named="This equals blocks of 64.",
    caught_by=CODES,
)
class block_ignored(QLoRALinear):
    def __init__(self, base, r, alpha, dropout=0.0, block=64, double=True):
        super().__init__(base, r, alpha, dropout, 64, double)


@mistake(
    "QLoRALinear",
    seen="Nothing below this layer learns: what is the gradient for x?",
    named="This equals a base that is computed without gradients.",
    caught_by=CODES,
)
class codes_cut_x_off(QLoRALinear):
    def forward(self, x):
        base = F.linear(x, self.weight(), self.bias)
        return super().forward(x) - base + base.detach()


@mistake(
    "QLoRALinear",
    seen="What has become of the bias?",
    named="This equals a layer without a bias.",
    caught_by=(CODES, PLAIN),
)
class bias_lost(QLoRALinear):
    def __init__(self, *settings):
        super().__init__(*settings)
        self.bias = None


@mistake(
    "QLoRALinear",
    seen="Before training, does the layer say what its codes stand for?",
    named="This equals a layer whose B begins at random.",
    caught_by="test_codes_begin_as_they_are",
)
class codes_both_random(QLoRALinear):
    def __init__(self, *settings):
        super().__init__(*settings)
        nn.init.uniform_(self.lora_B, -0.1, 0.1)


@mistake(
    "QLoRALinear",
    seen="With both factors at zero, neither ever receives a gradient.",
    named="This equals a layer whose A begins at zero as well.",
    caught_by="test_codes_begin_as_they_are",
)
class codes_both_zero(QLoRALinear):
    def __init__(self, *settings):
        super().__init__(*settings)
        nn.init.zeros_(self.lora_A)


@mistake(
    "QLoRALinear",
    seen="dequantized() is the base alone.",
    named="This equals a plain layer that holds the path's product too.",
    caught_by=PLAIN,
)
class plain_with_path(QLoRALinear):
    def dequantized(self):
        layer = super().dequantized()
        layer.weight.data += self.scale * (self.lora_B @ self.lora_A).detach()
        return layer


# ----------------------------------------------------------------------------------------------------------- train_lora

TRAINED = "test_what_is_trained"
MOVES = "test_the_factors_move_and_the_base_does_not"
SEED = "test_a_seed_fixes_the_adapter"
MASK = "test_masked_tokens_are_not_learnt"
LEARNT = "test_the_second_dialect_is_learnt"


def _nothing(model):
    """No change between inject and the optimiser."""


def _train(
    model, tokens, mask, steps, seed, *,
    prepare=_nothing, r=4, targets=("qkv", "out"), batch=64, masked=True, shift=1, sign=1.0, seeded=True,
):  # fmt: skip
    """The reference's training with one part changed."""
    if seeded:
        torch.manual_seed(seed)
    inject(model, list(targets), r=r, alpha=16.0)
    prepare(model)
    generator = torch.Generator().manual_seed(seed)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-2, weight_decay=0.0)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 1e-2 * min((step + 1) / 10, 1.0, 2 * (steps - step) / steps)
        rows = torch.randint(len(tokens), (batch,), generator=generator)
        real = mask[rows] if masked else torch.ones_like(mask[rows])
        wanted = tokens[rows, 1:] if shift else tokens[rows, :-1]
        loss = sign * F.cross_entropy(model(tokens[rows])[:, :-1][real], wanted[real])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return adapter_state_dict(model)


@mistake(
    "train_lora",
    seen="Both of your factors are where they began: with both at zero, neither receives a gradient.",
    named="This equals a training in which A begins at zero as well.",
    caught_by=(MOVES, LEARNT),
    blocker=True,
)
def trains_both_zero(model, tokens, mask, steps, seed):
    def zeros(model):
        for name, p in model.named_parameters():
            if "lora_A" in name:
                p.data.zero_()

    return _train(model, tokens, mask, steps, seed, prepare=zeros)


@mistake(
    "train_lora",
    seen="One factor never moves, and it holds the product at zero.",
    named="This equals a training of A alone.",
    caught_by=(MOVES, LEARNT),
    blocker=True,
)
def trains_a_alone(model, tokens, mask, steps, seed):
    def freeze(model):
        for name, p in model.named_parameters():
            if "lora_B" in name:
                p.requires_grad_(False)

    return _train(model, tokens, mask, steps, seed, prepare=freeze)


@mistake(
    "train_lora",
    seen="Your base has learnt along; on a clean base your adapter is worth little.",
    named="This equals a training of the base and the adapter together.",
    caught_by=(MOVES, LEARNT),
    blocker=True,
)
def base_trains(model, tokens, mask, steps, seed):
    def thaw(model):
        """All but the bias of the keys: its gradient is rounding and nothing else, which Adam makes a step of the full
        rate, so that the answer would be another on each processor."""
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(not name.endswith("qkv.base.bias"))

    return _train(model, tokens, mask, steps, seed, prepare=thaw)


@mistake(
    "train_lora",
    seen="The longer you train, the more surprised the model is.",
    named="This equals steps up the loss.",
    caught_by=LEARNT,
    blocker=True,
)
def trains_backwards(model, tokens, mask, steps, seed):
    return _train(model, tokens, mask, steps, seed, sign=-1.0)


@mistake(
    "train_lora",
    seen="logits[:, t] speaks of which token?",
    named="This equals a training to repeat the token that was just read.",
    caught_by=LEARNT,
    blocker=True,
)
def learns_the_same_token(model, tokens, mask, steps, seed):
    return _train(model, tokens, mask, steps, seed, shift=0)


@mistake(
    "train_lora",
    seen="Tokens that the mask leaves out are learnt as well.",
    named="This equals a training on all tokens.",
    caught_by=MASK,
)
def mask_ignored(model, tokens, mask, steps, seed):
    return _train(model, tokens, mask, steps, seed, masked=False)


@mistake(
    "train_lora",
    seen="How thin should the path be?",
    named="This equals an adapter of rank 8.",
    caught_by=TRAINED,
)
def default_rank(model, tokens, mask, steps, seed):
    return _train(model, tokens, mask, steps, seed, r=8)


@mistake(
    "train_lora",
    seen="Which layers were to be adapted?",
    named="This equals an adapter on all layers of a block.",
    caught_by=TRAINED,
)
def all_layers(model, tokens, mask, steps, seed):
    return _train(model, tokens, mask, steps, seed, targets=("qkv", "out", "up", "down"))


@mistake(
    "train_lora",
    seen="Your steps are not of 64 rows.",
    named="This equals steps of 32 rows.",
    caught_by=TRAINED,
)
def half_a_batch(model, tokens, mask, steps, seed):
    return _train(model, tokens, mask, steps, seed, batch=32)


@mistake(
    "train_lora",
    seen="Another seed gave the same adapter.",
    named="This equals a training that has a seed of its own.",
    caught_by=SEED,
)
def seed_ignored(model, tokens, mask, steps, seed):
    return _train(model, tokens, mask, steps, 0)


@mistake(
    "train_lora",
    seen="Two trainings with one seed gave two adapters.",
    named="This equals first factors that are drawn before anything is seeded.",
    caught_by=SEED,
)
def factors_not_seeded(model, tokens, mask, steps, seed):
    return _train(model, tokens, mask, steps, seed, seeded=False)
