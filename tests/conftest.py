"""What lets several processes share the tests (pytest-xdist): names and reports that can be told to another one.

And what lets anybody begin them: a shell in the background, or a CI's runner, has its children ignore Ctrl-C.
"""

import signal
from typing import Any, Iterator, Optional

import pytest

# A process whose signal is ignored passes that on to its children, which the tests end in each of these ways. SIGHUP is
# left alone: whoever ignores it (nohup) wants the tests to outlive a terminal.
for _number, _default in ((signal.SIGINT, signal.default_int_handler), (signal.SIGTERM, signal.SIG_DFL)):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _default)

_GZIP = ("\x1f\x8b\x08", "H4sI")  # plain, and in base64


@pytest.fixture(autouse=True)
def _signals() -> Iterator[None]:
    """As they were before the test: the next one's processes inherit what is ignored, and a region has its own."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def pytest_make_parametrize_id(val: Any, argname: str) -> Optional[str]:
    """The argument's name for an example that gzip has packed: it holds the second in which that was done.

    All processes must give a test the same name.
    """
    text = val.decode("latin-1") if isinstance(val, bytes) else val
    return argname if isinstance(text, str) and any(sign in text for sign in _GZIP) else None


@pytest.hookimpl(hookwrapper=True)
def pytest_report_to_serializable() -> Iterator[None]:
    """A report is sent as UTF-8, which knows no halves of characters such as tests of bad input log."""
    outcome: Any = yield
    outcome.force_result(_encodable(outcome.get_result()))


def _encodable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode(errors="backslashreplace").decode()
    if isinstance(value, dict):
        return {_encodable(key): _encodable(item) for key, item in value.items()}
    return type(value)(map(_encodable, value)) if type(value) in (list, tuple) else value
