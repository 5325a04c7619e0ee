"""A part handler for cloud-init: user-data that is annex-agent's is nothing to warn about.

It belongs into /var/lib/cloud/handlers, where cloud-init looks for handlers at every boot (annex-agent.tmpfiles links
it there).  It reads nothing and sets nothing.  Without it cloud-init calls user-data of a type that it does not know
"unhandled" and its own boot "degraded".  What annex-agent does not know either is still warned of, in the same words.

It runs in cloud-init's Python, whatever that is: standard library only, syntax of Python 3.6, and no exception.
"""

import binascii
import json
import logging
import re
import zlib

handler_version = 2
frequency = "always"  # a handler for new instances only would silence the warning at the next boot

_ADDRESSED = "text/x-annex-agent"
_UNSPECIFIC = ("text/x-not-multipart", "text/plain")
_SIGNALS = ("__begin__", "__end__")

_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_NAME = _LABEL + r"(?:\." + _LABEL + r")*\.?"
_IPV6 = r"(?=[^:\]]*:[^:\]]*:)[0-9A-Fa-f:.]+"
_HOST = re.compile(r"(?:" + _IPV6 + r"|(?:" + _NAME + r"|\[" + _IPV6 + r"\])(?::[0-9]{1,5})?)\Z")
_KNOB = re.compile(r"\s*[A-Za-z_][A-Za-z0-9_.]*\s*=")
_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}\Z")
_MARK = "#annex-agent"
_WRAPPER = "annex_agent"
_LONGEST = 128 * 1024  # of what annex-agent reads as settings
_LONGEST_HOST = 300


def list_types():
    """The types that cloud-init gives to user-data, or a part of it, without a mark that it knows."""
    return [_ADDRESSED, *_UNSPECIFIC]


def handle_part(data, ctype, filename, payload, frequency):  # noqa: ARG001 - cloud-init's signature
    """Accept what is annex-agent's; warn of the rest, as cloud-init does where no handler takes it."""
    if ctype in _SIGNALS or ctype == _ADDRESSED or not payload:
        return
    text = _text(payload)
    if not is_ours(text):
        kind = "non-multipart" if ctype == "text/x-not-multipart" else "unknown content-type"
        logging.getLogger(__name__).warning("Unhandled %s (%s) userdata: %r...", kind, ctype, text[:24])


def is_ours(text, depth=0):
    """Whether annex-agent reads this text: host names, lines KEY = VALUE, a document with its mark, base64 of these."""
    text = text.rstrip("\0")
    if len(text) > _LONGEST:
        return False
    beginning = text.lstrip()
    if beginning.lower().startswith(_MARK):
        return True
    if beginning.startswith("{"):
        return _is_our_json(beginning)
    unpacked = _unpacked(text) if depth < 8 else None
    if unpacked is None:
        return _is_unmarked(text)
    is_marked = unpacked.lstrip().startswith(("#", "{"))
    return (not is_marked and _is_unmarked(text)) or is_ours(unpacked, depth + 1)


def _is_unmarked(text):
    lines = [line for line in text.split("\n") if line.strip() and not line.strip().startswith("#")]
    if len(lines) == 1 and "=" not in lines[0]:
        return _are_hosts(lines[0])
    return bool(lines) and all(_KNOB.match(line) for line in lines)


def _are_hosts(line):
    words = [word.strip() for word in line.split(",")]
    return all(len(word) < _LONGEST_HOST and _HOST.match(word) for word in words)


def _unpacked(text):
    """What is inside of base64, which cloud-init does not unpack; None where it is no text."""
    packed = re.sub(r"\s+", "", text)
    if len(packed) % 4 or not _BASE64.match(packed):
        return None
    try:
        content = binascii.a2b_base64(packed)
        if content.startswith(b"\x1f\x8b"):
            content = zlib.decompressobj(31).decompress(content, 4 * _LONGEST)
        return content.decode("utf-8")
    except (ValueError, zlib.error):
        return None


def _is_our_json(text):
    try:
        return _WRAPPER in json.loads(text)
    except (ValueError, RecursionError):
        return False


def _text(payload):
    if isinstance(payload, bytes):
        return payload.decode("utf-8", "replace")
    return str(payload)
