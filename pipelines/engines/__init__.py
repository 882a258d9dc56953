"""Engines: what draws samples from a model. See `protocol` for their two verbs."""

from pipelines.engines.protocol import Engine
from pipelines.errors import UserError
from pipelines.sweeps.engine_sections import (
    ImportedEngine,
    Model,
    OpenAIEngine,
    PythonEngine,
    ReplayEngine,
    SimulatedEngine,
    TransformersEngine,
    VLLMEngine,
)


def load(model: Model) -> Engine:
    """Build a model's engine in this process; UserError where it cannot be.

    A library is imported only when its engine is.
    """
    match model:
        case TransformersEngine():
            from pipelines.engines.transformers_engine import TransformersModel

            return TransformersModel.load(
                model.path,
                device=model.device,
                dtype=model.dtype,
                batch=model.batch,
                token_confidence=model.token_confidence,
            )
        case VLLMEngine():
            from pipelines.engines.vllm_engine import VLLMModel

            return VLLMModel(model)
        case OpenAIEngine():
            from pipelines.engines.openai_engine import OpenAIModel

            return OpenAIModel(model)
        case SimulatedEngine():
            from pipelines.engines.simulated_engine import SimulatedModel

            return SimulatedModel(model)
        case ReplayEngine():
            from pipelines.engines.replay_engine import ReplayModel

            return ReplayModel(model)
        case PythonEngine():
            from pipelines.engines.python_engine import build

            return build(model)
        case ImportedEngine():
            raise UserError(f"model {model.name}: was imported, so nothing can be drawn from it")
