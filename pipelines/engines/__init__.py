"""Engines: what draws samples from a model. See `protocol` for their two verbs."""

from pipelines.engine_sections import Model, SimulatedEngine, TransformersEngine
from pipelines.engines.protocol import Engine
from pipelines.errors import UserError


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
        case SimulatedEngine():
            from pipelines.engines.simulated_engine import SimulatedModel

            return SimulatedModel(model)
        case _:
            raise UserError(f"model {model.name}: engine {model.engine} cannot be loaded")
