"""The laws: their equations, parameters with intervals, and how each fit ended.

Knows the table of laws; not how a law is fitted.
"""

from pipelines.reporting.sections.section import Section, laws
from pipelines.store import RunTables


def section(tables: RunTables) -> Section | None:
    """Return the part on laws, or None where none was fitted."""
    if tables.laws.is_empty():
        return None
    return Section(
        name="laws",
        title="The laws",
        values={
            "task_laws": laws(tables, "task"),
            "emergence": laws(tables, "emergence"),
            "coverage_laws": laws(tables, "coverage"),
        },
    )
