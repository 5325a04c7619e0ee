"""What one document from outside may cost, all its layers and parts together: counts, and never a clock's say."""

UNPACKED = 1024 * 1024  # bytes; EC2 takes 16 KiB, and what grows beyond this is no text of a human hand
LONGEST = 128 * 1024  # characters that are read as settings
MOST = 5_000  # keys and values: a tenth of a second and more
DEEPEST = 8  # layers of gzip, base64 and MIME in one another
PARTS = 100

TOO_LONG = f"it is longer than {LONGEST // 1024} KiB, which no settings are: make it shorter"
TOO_MANY = f"these are more than {MOST} keys and values, which no settings are: make it shorter"


class Budget:
    """What is left. Each method takes from it, and says whether there was enough."""

    def __init__(self) -> None:
        self.unpacked = UNPACKED
        self._characters = LONGEST
        self._nodes = MOST
        self._values = MOST
        self._parts = PARTS

    def takes_unpacked(self, size: int) -> bool:
        """Bytes that came out of gzip or base64."""
        self.unpacked -= size
        return self.unpacked >= 0

    def takes_characters(self, count: int) -> bool:
        """Text that is read as settings."""
        self._characters -= count
        return self._characters >= 0

    def takes_nodes(self, count: int) -> bool:
        """Keys and values of YAML, as they stand in the text."""
        self._nodes -= count
        return self._nodes >= 0

    def takes_values(self, count: int) -> bool:
        """Keys and values, as they are when every alias is replaced by what it stands for."""
        self._values -= count
        return self._values >= 0

    def takes_parts(self, count: int) -> bool:
        """Parts of MIME messages and of archives."""
        self._parts -= count
        return self._parts >= 0
