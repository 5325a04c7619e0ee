"""HTTP as the emulated service speaks it: requests from a stream, answers as the bytes of one write."""

import http.client
import re
from dataclasses import dataclass
from email.utils import formatdate
from typing import BinaryIO, List, Mapping, Optional, Tuple
from urllib.parse import unquote

_LONGEST_LINE = 65536  # bytes, as in http.client
_LONGEST_BODY = 1024 * 1024  # bytes of a request; nothing here needs one
_PAGE = """<?xml version="1.0" encoding="iso-8859-1"?>
<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN"
\t"http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd">
<html xmlns="http://www.w3.org/1999/xhtml" xml:lang="en" lang="en">
 <head>
  <title>{title}</title>
 </head>
 <body>
  <h1>{title}</h1>
 </body>
</html>
"""


@dataclass(frozen=True)
class Request:
    """One request that came."""

    method: str
    path: str  # as it was sent, with version and query
    status: Optional[int]  # None: not answered (reset, black hole)
    headers: Mapping[str, str]  # names in lower case


@dataclass(frozen=True)
class Reply:
    """An answer before it is encoded."""

    status: int
    body: bytes = b""
    content_type: str = "text/plain"
    headers: Tuple[str, ...] = ()  # lines beside the usual ones


def read(stream: BinaryIO) -> Optional[Tuple[Request, bool]]:
    """The next request and whether its connection stays open, or None at the end of the stream.

    Raises ValueError or http.client.HTTPException for what is not HTTP/1.
    """
    line = stream.readline(_LONGEST_LINE)
    if not line:
        return None
    method, target, version = line.decode("latin-1").split()
    headers = {name.lower(): value.strip() for name, value in http.client.parse_headers(stream).items()}
    length = int(headers.get("content-length", "0"))
    if not version.startswith("HTTP/1.") or not 0 <= length <= _LONGEST_BODY or "transfer-encoding" in headers:
        raise ValueError(line)
    stream.read(length)  # so that the next request begins where it begins
    keep_alive = version != "HTTP/1.0" and headers.get("connection", "").lower() != "close"
    return Request(method, target, None, headers), keep_alive


def encoded(reply: Reply, method: str, closing: bool, truncate: Optional[int] = None) -> bytes:
    """The whole answer; ``truncate`` leaves of the body only so many bytes, and announces the whole."""
    lines = [
        f"HTTP/1.1 {reply.status} {_phrase(reply.status)}",
        f"Content-Type: {reply.content_type}",
        "Accept-Ranges: none",
        f"Content-Length: {len(reply.body)}",
        f"Date: {formatdate(usegmt=True)}",
        "Server: EC2ws",  # the AWS SDKs and other clients recognise the service by it
        *reply.headers,
        *(["Connection: close"] if closing else []),
    ]
    body = b"" if method == "HEAD" else reply.body[:truncate]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def page(status: int, *headers: str) -> Reply:
    """An error as the service words it: an XHTML page."""
    return Reply(status, _PAGE.format(title=f"{status} - {_phrase(status)}").encode(), "text/html", headers)


def _phrase(status: int) -> str:
    return http.client.responses.get(status, "Unassigned")


def segments(target: str) -> List[str]:
    """``/latest/meta-data/?x`` as its parts; an empty part (``//``) is kept, and matches nothing."""
    path = re.sub(r"^https?://[^/]*", "", target).partition("?")[0]
    inside = re.sub(r"^/|/$", "", path)
    return [unquote(part) for part in inside.split("/")] if inside else []
