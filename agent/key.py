"""A row of the settings' schema."""

from typing import Any, NamedTuple

from .model import Settings
from .values import Kind


class Key(NamedTuple):
    """A setting: its dotted path, the field of ``Settings`` that it sets, its values, and what it does."""

    path: str
    field: str
    kind: Kind
    does: str  # a phrase, in Markdown
    more: str = ""  # what is only said where there is room for it
    see: str = ""  # a link, from docs/settings.md
    example: Any = None  # for a setting without a default
    unset: str = "none"  # what such a setting is, when it is not given

    @property
    def default(self) -> Any:
        """The default as a document would have it; None where there is none."""
        value = self.written(Settings())
        return None if value == [] else value

    def written(self, settings: Settings) -> Any:
        """The value in force as a document would have it; a secret that stands in the open is masked."""
        return self.kind.write(getattr(settings, self.field))

    def in_words(self, settings: Settings) -> str:
        """The value in force, on one line; empty where there is none."""
        value = self.written(settings)
        if isinstance(value, bool):
            return str(value).lower()
        return ", ".join(value) if isinstance(value, list) else str(value or "")
