"""The parts of a run's report: one module and one template each, in `pipelines.reporting.parts`."""
