"""Everything that composes, and all input and output: stages, store, engines, tracking, CLI."""
