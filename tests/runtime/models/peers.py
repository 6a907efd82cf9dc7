"""Random tiny models of every family, made and saved by transformers: the cases of test_families.

A case is a name and the arguments of the family's config class: small sizes, and unusual but legal settings.
"""

from __future__ import annotations

import numpy as np

BASE = {
    "vocab_size": 97,
    "hidden_size": 32,
    "intermediate_size": 44,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
}
GPT2 = {"vocab_size": 97, "n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 64}
NEOX = {k: v for k, v in BASE.items() if k != "num_key_value_heads"}
YARN = {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0, "original_max_position_embeddings": 16}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}
rng = np.random.default_rng(7)


def longrope(pairs: int, **more) -> dict:
    return {
        "rope_type": "longrope",
        "rope_theta": 1e4,
        "short_factor": [1.0 + 0.1 * i for i in range(pairs)],
        "long_factor": [1.5 + 0.4 * i for i in range(pairs)],
    } | more


ROPES = {
    "linear": {"rope_type": "linear", "rope_theta": 1e4, "factor": 3.0},
    "dynamic": {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.5},
    "yarn": YARN,
    "yarn, attention factor": YARN | {"attention_factor": 1.25, "beta_fast": 8.0, "beta_slow": 2.0},
    "yarn, mscale": YARN | {"mscale": 0.7, "mscale_all_dim": 1.3, "truncate": False},
    "llama3": LLAMA3,
    "longrope, short": longrope(4, original_max_position_embeddings=60),
    "longrope, long": longrope(4, original_max_position_embeddings=16, factor=4.0),
}

# (model_type, what is unusual, arguments of the config)
CASES: list[tuple[str, str, dict]] = [
    ("gpt2", "as it is", GPT2),
    ("gpt2", "n_inner, untied, relu", GPT2 | {"n_inner": 50, "tie_word_embeddings": False,
                                              "activation_function": "relu"}),
    ("gpt2", "scores unscaled", GPT2 | {"scale_attn_weights": False}),
    ("gpt2", "scores by layer", GPT2 | {"scale_attn_by_inverse_layer_idx": True}),
    ("gpt_bigcode", "one key head", GPT2),
    ("gpt_bigcode", "many key heads", GPT2 | {"multi_query": False, "n_inner": 40}),
    ("gpt_bigcode", "untied, unscaled", GPT2 | {"tie_word_embeddings": False, "scale_attn_weights": False}),
    ("starcoder2", "window", BASE | {"sliding_window": 7}),
    ("starcoder2", "no biases, untied", BASE | {"use_bias": False, "tie_word_embeddings": False}),
    ("starcoder2", "one key head", BASE | {"num_key_value_heads": 1, "hidden_act": "gelu", "norm_epsilon": 1e-3}),
    ("gpt_neox", "as it is", NEOX | {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4}}),
    ("gpt_neox", "in a row, no attention bias", NEOX | {"use_parallel_residual": False, "attention_bias": False}),
    ("gpt_neox", "all rotated, tied", NEOX | {"rotary_pct": 1.0, "tie_word_embeddings": True,
                                              "hidden_act": "gelu_new"}),
    ("gpt_neox", "half rotated, linear", NEOX | {"rotary_pct": 0.5, "rope_parameters": ROPES["linear"]}),
    ("gpt_neox", "odd rotated values", NEOX | {"hidden_size": 48, "rotary_pct": 0.25}),
    ("llama", "as it is", BASE),
    ("llama", "biases, head_dim, tied", BASE | {"attention_bias": True, "mlp_bias": True, "head_dim": 12,
                                                "tie_word_embeddings": True}),
    ("llama", "one key head, relu2", BASE | {"num_key_value_heads": 1, "hidden_act": "relu2", "rms_norm_eps": 1e-2}),
    ("llama", "as many key heads", BASE | {"num_key_value_heads": None, "hidden_act": "quick_gelu"}),
    *[("llama", name, BASE | {"max_position_embeddings": 64 if "longrope" in name or name == "llama3" else 24,
                              "rope_parameters": rope}) for name, rope in ROPES.items()],
    ("mistral", "window", BASE | {"sliding_window": 5}),
    ("mistral", "no window, head_dim", BASE | {"sliding_window": None, "head_dim": 10}),
    ("qwen2", "as it is", BASE),
    ("qwen2", "windows from layer 1", BASE | {"use_sliding_window": True, "sliding_window": 6, "max_window_layers": 1}),
    ("qwen2", "layer_types, tied, yarn", BASE | {
        "use_sliding_window": True, "sliding_window": 4, "tie_word_embeddings": True, "rope_parameters": YARN,
        "layer_types": ["sliding_attention", "full_attention", "sliding_attention"]}),
    ("qwen3", "head_dim", BASE | {"head_dim": 20}),
    ("qwen3", "biases, windows, tied", BASE | {"head_dim": 8, "attention_bias": True, "use_sliding_window": True,
                                               "sliding_window": 9, "max_window_layers": 2,
                                               "tie_word_embeddings": True}),
    ("qwen3_moe", "all sparse", BASE | {"num_experts": 6, "num_experts_per_tok": 2, "moe_intermediate_size": 20,
                                        "norm_topk_prob": True, "head_dim": 12}),
    ("qwen3_moe", "some dense", BASE | {"num_experts": 5, "num_experts_per_tok": 3, "moe_intermediate_size": 20,
                                        "norm_topk_prob": False, "mlp_only_layers": [2], "attention_bias": True}),
    ("qwen3_moe", "every second, window", BASE | {"num_experts": 4, "num_experts_per_tok": 4, "decoder_sparse_step": 2,
                                                  "moe_intermediate_size": 24, "use_sliding_window": True,
                                                  "sliding_window": 5}),
    ("gemma", "head_dim", BASE | {"head_dim": 12}),
    ("gemma", "one key head, biases", BASE | {"head_dim": 8, "num_key_value_heads": 1, "attention_bias": True,
                                              "hidden_act": "gelu", "tie_word_embeddings": False}),
    ("gemma2", "soft-caps, window", BASE | {"head_dim": 12, "sliding_window": 6, "query_pre_attn_scalar": 12,
                                            "attn_logit_softcapping": 2.0, "final_logit_softcapping": 3.0}),
    ("gemma2", "no soft-caps", BASE | {"head_dim": 16, "sliding_window": 3, "query_pre_attn_scalar": 20,
                                       "attn_logit_softcapping": None,
                                       "final_logit_softcapping": None, "layer_types": ["full_attention"] * 2
                                       + ["sliding_attention"]}),
    ("gemma3_text", "two bases", BASE | {"head_dim": 12, "sliding_window": 5, "query_pre_attn_scalar": 10}),
    ("gemma3_text", "linear, soft-cap", BASE | {
        "head_dim": 8, "query_pre_attn_scalar": 8, "sliding_window": 4, "final_logit_softcapping": 2.0,
        "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
        "rope_parameters": {"full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
                            "sliding_attention": {"rope_type": "default", "rope_theta": 500.0}}}),
    ("gemma3_text", "yarn, one base for windows", BASE | {
        "head_dim": 8, "sliding_window": 40, "sliding_window_pattern": 2,
        "rope_parameters": {"full_attention": YARN, "sliding_attention": {"rope_type": "default"}}}),
    ("phi", "half rotated", BASE),
    ("phi", "norm of query and key", BASE | {"qk_layernorm": True, "partial_rotary_factor": 0.25,
                                             "hidden_act": "gelu"}),
    ("phi", "all heads, linear", BASE | {"num_key_value_heads": 4, "partial_rotary_factor": 0.75,
                                         "rope_parameters": ROPES["linear"], "tie_word_embeddings": True}),
    ("phi3", "window", BASE | {"sliding_window": 6}),
    ("phi3", "longrope, short", BASE | {"rope_parameters": longrope(4), "original_max_position_embeddings": 50}),
    ("phi3", "longrope, long, partial", BASE | {"rope_parameters": longrope(3, partial_rotary_factor=0.75),
                                                "original_max_position_embeddings": 16, "tie_word_embeddings": True}),
    ("phi3", "odd rotated values", BASE | {"hidden_size": 48, "partial_rotary_factor": 0.75}),
    ("granite", "multipliers", BASE | {"embedding_multiplier": 12.0, "residual_multiplier": 0.22,
                                       "attention_multiplier": 0.0625, "logits_scaling": 8.0}),
    ("granite", "biases, tied", BASE | {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True,
                                        "rope_parameters": YARN}),
    ("olmo2", "a share to rotate that it has no use for", BASE | {"partial_rotary_factor": 0.5}),
    ("olmo2", "biases, one key head", BASE | {"attention_bias": True, "num_key_value_heads": 1,
                                              "rope_parameters": LLAMA3}),
    ("smollm3", "every fourth", BASE | {"num_hidden_layers": 5}),
    ("smollm3", "listed, windows", BASE | {"no_rope_layers": [1, 0, 1], "use_sliding_window": True, "sliding_window": 6,
                                           "attention_bias": True, "mlp_bias": True, "tie_word_embeddings": False}),
    ("smollm3", "layer_types", BASE | {"no_rope_layer_interval": 2, "use_sliding_window": True, "sliding_window": 4,
                                       "layer_types": ["sliding_attention", "full_attention", "full_attention"]}),
]  # fmt: skip


def build(model_type: str, arguments: dict, seed: int = 0, **config_more):
    """A transformers model in float32 with random weights that are far from their usual start."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model(model_type, **_copied(arguments), **config_more)
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").float().eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            spread = 0.3 if parameter.ndim > 1 else 0.2
            start = parameter if "norm" in name or "ln_" in name else 0.0 * parameter
            parameter.copy_(start + spread * torch.randn_like(parameter))
    return model


def reload(folder):
    """What transformers reads from a folder, in float32."""
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, dtype="float32", attn_implementation="eager").eval()


def _copied(value):
    """Configs keep and change the dicts and lists that they are given."""
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    return [_copied(item) for item in value] if isinstance(value, list) else value


def logits(model, ids) -> np.ndarray:
    """float32 (T, V) of the peer, the whole sequence without a cache."""
    import torch

    with torch.no_grad():
        return model(torch.tensor([list(map(int, ids))]), use_cache=False).logits[0].float().numpy()
