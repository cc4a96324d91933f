"""The model: built from settings or read from a Hugging Face folder, and written to one.

A folder's layout is fixed: `model.safetensors` with Hugging Face's own tensor names in the order of
their names, and `config.json`. Equal weights give equal bytes.
"""

from pathlib import Path
from typing import Any, Final

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from transformers import Glm4MoeConfig, Glm4MoeForCausalLM
from transformers.utils import logging as transformers_logging

from learner.trainer import attention
from learner.trainer.tensor_file import write_tensors
from schemas.errors import UserError
from schemas.model_settings import ModelSettings

EXPERTS: Final = "grouped_mm"
"""How the experts are computed; part of the numerics record."""
WEIGHTS_FILE: Final = "model.safetensors"
_CANNOT_LOAD: Final = (
    ArithmeticError,
    LookupError,
    OSError,
    RuntimeError,
    SafetensorError,
    StrictDataclassError,
    TypeError,
    ValueError,
)
"""How transformers says that a folder is not one of a model, or that its config.json is wrong."""


def build_model(settings: ModelSettings, vocabulary_size: int, seed: int) -> Glm4MoeForCausalLM:
    """A model with random weights that are a function of the seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Glm4MoeForCausalLM(_config(settings, vocabulary_size))
    return _prepare(model)


def num_parameters(settings: ModelSettings, vocabulary_size: int) -> int:
    """Of the model that would be built; its weights take no memory here."""
    with torch.device("meta"):
        return Glm4MoeForCausalLM(_config(settings, vocabulary_size)).num_parameters()


def _config(settings: ModelSettings, vocabulary_size: int) -> Glm4MoeConfig:
    return Glm4MoeConfig(
        vocab_size=vocabulary_size,
        hidden_size=settings.hidden_size,
        intermediate_size=settings.intermediate_size,
        num_hidden_layers=settings.num_layers,
        num_attention_heads=settings.num_heads,
        num_key_value_heads=settings.num_key_value_heads,
        max_position_embeddings=settings.max_positions,
        moe_intermediate_size=settings.moe_intermediate_size,
        n_routed_experts=settings.num_experts,
        num_experts_per_tok=settings.num_experts_per_token,
        n_shared_experts=1,
        first_k_dense_replace=1,
        use_qk_norm=True,
        num_mtp_layers=0,
        dtype=torch.float32,
    )


def load_model(folder: Path, device: torch.device) -> Glm4MoeForCausalLM:
    """The model of a folder, in float32, ready to train.

    Raises:
        UserError: it is no model of this kind, or tensors of it are not there. (They would be drawn
            at random, and anew at every start.)
    """
    attention.register()
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()  # What it warns of is refused below.
    try:
        loaded: Any = Glm4MoeForCausalLM.from_pretrained(
            folder,
            dtype=torch.float32,
            attn_implementation=attention.NAME,
            local_files_only=True,
            use_safetensors=True,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    except _CANNOT_LOAD as error:
        first_line = str(error).partition("\n")[0]
        raise UserError(f"the policy in {folder} cannot be loaded: {first_line[:300]}") from None
    model, report = loaded
    faults = [f"{name} is missing" for name in sorted(report["missing_keys"])]
    faults += [f"{name} has another shape" for name, *_ in sorted(report["mismatched_keys"])]
    if faults:
        raise UserError(
            f"the policy in {folder} is not the {model.config.model_type} model of its "
            f"config.json: {faults[0]}{f', and {len(faults) - 1} more' if faults[1:] else ''}"
        )
    torch.nn.Module.to(model, device)
    return _prepare(model)


def save_folder(model: Glm4MoeForCausalLM, folder: Path) -> None:
    """Write weights and configuration into a folder, which is made if it is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    save_weights(model, folder)
    model.config.to_json_file(folder / "config.json", use_diff=False)


def save_weights(model: Glm4MoeForCausalLM, folder: Path) -> None:
    """Write the weights alone."""
    tensors = {name: tensor.cpu().contiguous() for name, tensor in published_tensors(model).items()}
    write_tensors(folder / WEIGHTS_FILE, tensors)


def published_tensors(model: Glm4MoeForCausalLM) -> dict[str, torch.Tensor]:
    """Every tensor of the model under its Hugging Face name, in the order of the names.

    The model stacks a layer's experts; the folder holds them one by one. The values are views: they
    change with the model.
    """
    published: dict[str, torch.Tensor] = {}
    for name, tensor in model.state_dict().items():
        if name.endswith("experts.gate_up_proj"):
            stem = name.removesuffix("gate_up_proj")
            for expert, stacked in enumerate(tensor):
                gate, up = stacked.chunk(2)
                published[f"{stem}{expert}.gate_proj.weight"] = gate
                published[f"{stem}{expert}.up_proj.weight"] = up
        elif name.endswith("experts.down_proj"):
            stem = name.removesuffix("down_proj")
            for expert, down in enumerate(tensor):
                published[f"{stem}{expert}.down_proj.weight"] = down
        else:
            published[name] = tensor
    return dict(sorted(published.items()))


def _prepare(model: Glm4MoeForCausalLM) -> Glm4MoeForCausalLM:
    attention.register()
    model.set_attn_implementation(attention.NAME)
    model.set_experts_implementation(EXPERTS)
    return model.train()
