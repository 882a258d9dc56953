"""Pages that open from disk with no network: what they say, their charts, and how they look."""
