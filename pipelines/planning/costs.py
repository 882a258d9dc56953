"""What samples cost: operations, hours of a GPU or of an earlier run's engine, and money.

What cannot be known from what was given is null, never 0. Knows costs of one model; not which
samples a question takes.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from fitting import ComputeCost, PriceCost, TokenCounts, Transformer, cost_of_tries
from pipelines.errors import UserError
from pipelines.planning.earlier_run import MeasuredCosts
from pipelines.planning.hardware import PEAK_FLOPS, UTILISATION
from pipelines.planning.transformer_config import read_config

_HOUR = 3_600.0


@dataclass(frozen=True, kw_only=True)
class CostOptions:
    """What the user says of costs; None where nothing was said."""

    model_config: Path | None = None
    parameters: float | None = None
    """All parameters, for plain 2 P FLOPs per token."""
    sizes: tuple[float, ...] = ()
    """Parameters of several models that a plan samples; see `Costs.for_size`."""
    prompt_tokens: float | None = None
    """Of one problem."""
    completion_tokens: float | None = None
    """Of one sample, on average."""
    gpu: str | None = None
    utilisation: float = UTILISATION
    tokens_per_second: float | None = None
    """Completion tokens, measured, of one GPU."""
    usd_per_gpu_hour: float | None = None
    usd_per_million_tokens: tuple[float, float] | None = None
    """Of prompts and of completions; one request draws all samples of a problem."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What some samples cost; None for what is not known."""

    samples: float
    tokens: float | None
    """Read and generated, each prompt once."""
    flops: float | None
    hours: float | None
    """Of one GPU, or of the engine of an earlier run; `Costs.basis` says which."""
    usd: float | None


@dataclass(frozen=True, kw_only=True)
class Costs:
    """Prices samples of one model."""

    prompt_tokens: float | None
    """Of one problem; None where the lengths are not known."""
    completion_tokens: float | None
    """Of one sample; None where the lengths are not known."""
    transformer: Transformer | None
    flops_per_second: float | None
    """Of one GPU at the utilisation that is assumed."""
    tokens_per_second: float | None
    seconds_per_sample: float | None
    """That an earlier run's engine took."""
    price: PriceCost | None
    usd_per_gpu_hour: float | None
    basis: tuple[str, ...]
    """What the costs rest on, in sentences."""

    def for_size(self, parameters: float) -> "Costs":
        """Return the costs of a model of this size, at the same lengths and utilisation."""
        return replace(self, transformer=Transformer(parameters=parameters, layers=0, width=0))

    def of(self, problems: float, samples: float) -> Cost:
        """Return what `samples` in all cost, spread evenly over so many problems.

        Attention and shared prompts are counted as `fitting.ComputeCost` does.
        """
        flops = hours = usd = total = None
        if self.prompt_tokens is not None and self.completion_tokens is not None:
            tokens = TokenCounts(prompt=self.prompt_tokens, completion=self.completion_tokens)
            tries = max(samples / problems, 1.0)
            total = problems * self.prompt_tokens + samples * self.completion_tokens
            if self.transformer is not None:
                compute = ComputeCost(model=self.transformer)
                flops = problems * float(cost_of_tries(compute, tokens, tries)[0, 0])
            if self.tokens_per_second is not None:
                hours = samples * self.completion_tokens / self.tokens_per_second / _HOUR
            elif flops is not None and self.flops_per_second is not None:
                hours = flops / self.flops_per_second / _HOUR
            if self.price is not None:
                usd = problems * float(cost_of_tries(self.price, tokens, tries)[0, 0])
        if hours is None and self.seconds_per_sample is not None:
            hours = samples * self.seconds_per_sample / _HOUR
        if usd is None and hours is not None and self.usd_per_gpu_hour is not None:
            usd = hours * self.usd_per_gpu_hour
        return Cost(samples=samples, tokens=total, flops=flops, hours=hours, usd=usd)


def costs_of(options: CostOptions, earlier: MeasuredCosts | None) -> Costs:
    """Return what prices samples, from what the user says and an earlier run of the same model.

    Raises:
        UserError: numbers out of range, an unknown GPU, or numbers that need others.
    """
    _check(options)
    basis: list[str] = []
    prompt, completion = _tokens(options, earlier, basis)
    transformer = _transformer(options, earlier, basis)
    speed = None
    if options.gpu is not None:
        if options.tokens_per_second is None:
            speed = PEAK_FLOPS[options.gpu] * options.utilisation
            basis.append(
                f"Hours: of {options.gpu.upper()}s at {options.utilisation:g} of their "
                f"{PEAK_FLOPS[options.gpu] / 1e12:g} TFLOP/s (bfloat16, dense). The share is a "
                "guess, and few samples at once get far less; --tokens-per-second takes a measured "
                "rate."
            )
    elif options.tokens_per_second is None and earlier is not None and earlier.seconds is not None:
        basis.append(f"Hours: of the engine of {earlier.run}, {earlier.seconds:.3g} s a sample.")
    price = None
    if options.usd_per_million_tokens is not None:
        into, out = options.usd_per_million_tokens
        price = PriceCost(input=into, output=out, repeated_input=0.0)
        basis.append(
            f"Price: {into:g} USD for a million prompt tokens, {out:g} for completions; one "
            "request draws all samples of a problem."
        )
    elif options.usd_per_gpu_hour is not None:
        basis.append(f"Price: {options.usd_per_gpu_hour:g} USD a GPU-hour.")
    use_earlier = options.gpu is None and options.tokens_per_second is None
    return Costs(
        prompt_tokens=prompt,
        completion_tokens=completion,
        transformer=transformer,
        flops_per_second=speed,
        tokens_per_second=options.tokens_per_second,
        seconds_per_sample=earlier.seconds if use_earlier and earlier is not None else None,
        price=price,
        usd_per_gpu_hour=options.usd_per_gpu_hour,
        basis=tuple(basis),
    )


def _check(options: CostOptions) -> None:
    for name in ("parameters", "completion_tokens", "tokens_per_second", "usd_per_gpu_hour"):
        value = getattr(options, name)
        if value is not None and not 0 < value <= 1e18:
            raise UserError(f"--{name.replace('_', '-')}: must be > 0, got {value:g}")
    if options.prompt_tokens is not None and not 0 <= options.prompt_tokens <= 1e18:
        raise UserError(f"--prompt-tokens: must be >= 0, got {options.prompt_tokens:g}")
    if not 0 < options.utilisation <= 1:
        raise UserError(f"--utilisation: must be above 0 and at most 1, got {options.utilisation}")
    if options.gpu is not None and options.gpu not in PEAK_FLOPS:
        raise UserError(
            f"--gpu: {options.gpu!r} is not among {', '.join(PEAK_FLOPS)}; for another give "
            "--tokens-per-second, as measured"
        )
    if options.model_config is not None and options.parameters is not None:
        raise UserError("--parameters: the model's config says how many; leave one of them out")
    prices = options.usd_per_million_tokens or ()
    if any(not 0 <= price <= 1e18 for price in prices):
        raise UserError(f"--usd-per-million-tokens: prices must be >= 0, got {prices}")


def _tokens(
    options: CostOptions, earlier: MeasuredCosts | None, basis: list[str]
) -> tuple[float | None, float | None]:
    """Return the tokens of a prompt and of a completion; both None where one is not known."""
    prompt, completion = options.prompt_tokens, options.completion_tokens
    if earlier is not None and (prompt is None or completion is None):
        prompt = earlier.prompt_tokens if prompt is None else prompt
        completion = earlier.completion_tokens if completion is None else completion
        basis.append(
            f"Tokens: as in {earlier.run}, {prompt:.4g} of a prompt and {completion:.4g} of a "
            "completion."
        )
    elif completion is not None:
        prompt = 0.0 if prompt is None else prompt
        basis.append(f"Tokens: {prompt:g} of a prompt and {completion:g} of a completion.")
    if completion is None or prompt is None:
        needs = {
            "--gpu": options.gpu,
            "--tokens-per-second": options.tokens_per_second,
            "--usd-per-million-tokens": options.usd_per_million_tokens,
            "--usd-per-gpu-hour": options.usd_per_gpu_hour,
        }
        asked = next((name for name, value in needs.items() if value is not None), None)
        if asked is not None:
            raise UserError(
                f"{asked}: needs the length of a completion; give --completion-tokens "
                "(and --prompt-tokens), or --like RUN"
            )
        return None, None
    return prompt, completion


def _transformer(
    options: CostOptions, earlier: MeasuredCosts | None, basis: list[str]
) -> Transformer | None:
    if options.model_config is not None:
        size = read_config(options.model_config)
        active = size.transformer.parameters
        basis.append(
            f"Operations: {size.parameters:,} parameters by {options.model_config}, of which "
            f"{active:,.0f} multiply each token; 2 FLOPs each, and attention over the context; "
            "a prompt is read once for all its samples."
        )
        return size.transformer
    if options.sizes:
        basis.append(
            "Operations: 2 FLOPs for each parameter of the model and each token, a prompt read "
            "once for all its samples."
        )
        return Transformer(parameters=max(options.sizes), layers=0, width=0)
    parameters = options.parameters
    if parameters is None and earlier is not None:
        parameters = earlier.parameters
    if parameters is None:
        if options.gpu is not None and options.tokens_per_second is None:
            raise UserError("--gpu: needs the model's size; give --model-config or --parameters")
        return None
    basis.append(
        f"Operations: 2 FLOPs for each of {parameters:,.0f} parameters and each token, a prompt "
        "read once for all its samples; attention is left out, which --model-config counts."
    )
    return Transformer(parameters=parameters, layers=0, width=0)
