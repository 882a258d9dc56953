"""What every section of a sweep has in common: frozen, strict, and no key that it does not know."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)]
"""A name that may be part of a path: letters, digits, dot, underscore, hyphen."""


class Section(BaseModel):
    """A part of a sweep, checked at birth."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, defer_build=True
    )
