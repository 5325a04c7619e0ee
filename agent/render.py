"""Templates to text.  A name that a template uses and nobody gave is an error, not an empty string."""

from functools import lru_cache

from jinja2 import Environment, PackageLoader, StrictUndefined


@lru_cache(maxsize=1)
def _environment() -> Environment:
    # The text is configuration, not HTML: escaping would corrupt it. What comes from outside is parsed in grammar.
    return Environment(  # noqa: S701
        loader=PackageLoader("annex_agent.templates", "."),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        auto_reload=False,
    )


def render(template: str, **values: object) -> str:
    """The text of ``template`` (its path below templates/) with ``values`` placed."""
    return _environment().get_template(template).render(**values)
