"""Configurations of published models with the parameters that their weights have.

Of each: the fields of its config.json that set its size, all parameters, and those that multiply a
token, which leaves out an input table of its own and experts that are not chosen.
"""

KNOWN = {
    "Llama-3.1-8B": (
        {"model_type": "llama", "hidden_size": 4096, "intermediate_size": 14336,
         "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8,
         "vocab_size": 128256, "tie_word_embeddings": False},
        8_030_261_248, 8_030_261_248 - 128256 * 4096,
    ),
    "Mistral-7B-v0.1": (
        {"model_type": "mistral", "hidden_size": 4096, "intermediate_size": 14336,
         "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8,
         "vocab_size": 32000, "tie_word_embeddings": False},
        7_241_732_096, 7_241_732_096 - 32000 * 4096,
    ),
    "Mixtral-8x7B-v0.1": (
        {"model_type": "mixtral", "hidden_size": 4096, "intermediate_size": 14336,
         "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8,
         "vocab_size": 32000, "num_local_experts": 8, "num_experts_per_tok": 2,
         "tie_word_embeddings": False},
        46_702_792_704, 12_879_925_248 - 32000 * 4096,
    ),
    "Qwen2.5-7B": (
        {"model_type": "qwen2", "hidden_size": 3584, "intermediate_size": 18944,
         "num_hidden_layers": 28, "num_attention_heads": 28, "num_key_value_heads": 4,
         "vocab_size": 152064, "tie_word_embeddings": False},
        7_615_616_512, 7_615_616_512 - 152064 * 3584,
    ),
    "Qwen3-0.6B": (
        {"model_type": "qwen3", "hidden_size": 1024, "intermediate_size": 3072, "head_dim": 128,
         "num_hidden_layers": 28, "num_attention_heads": 16, "num_key_value_heads": 8,
         "vocab_size": 151936, "tie_word_embeddings": True},
        596_049_920, 596_049_920,
    ),
    "gemma-2-2b": (
        {"model_type": "gemma2", "hidden_size": 2304, "intermediate_size": 9216, "head_dim": 256,
         "num_hidden_layers": 26, "num_attention_heads": 8, "num_key_value_heads": 4,
         "vocab_size": 256000},
        2_614_341_888, 2_614_341_888,
    ),
    "pythia-70m": (
        {"model_type": "gpt_neox", "hidden_size": 512, "intermediate_size": 2048,
         "num_hidden_layers": 6, "num_attention_heads": 8, "vocab_size": 50304},
        70_426_624, 70_426_624 - 50304 * 512,
    ),
    "gpt2": (
        {"model_type": "gpt2", "n_embd": 768, "n_layer": 12, "n_head": 12, "vocab_size": 50257,
         "n_positions": 1024},
        124_439_808, 124_439_808,
    ),
}  # fmt: skip
