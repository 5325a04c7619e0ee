"""A server of AWS's API (moto) that tells what it was asked, and fails when it is told to.

``python -m tests.aws.server ADDRESS PORT`` serves it to other processes: each line on its standard input is a
``Server.handle`` in JSON, and is answered with a line.
"""

import base64
import contextlib
import io
import json
import os
import sys
import threading
import time
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from importlib import import_module  # what is imported so has no types
from typing import Any, Callable, Optional

from .waiting import Answer, Waiting, error

ACCOUNT = "123456789012"
REGION = "us-east-1"
_FAULT: Mapping[str, Any] = {"status": 503, "times": 1, "body": "", "headers": {}, "delay": 0.0}
_USER = f"arn:aws:sts::{ACCOUNT}:assumed-role/annex-worker/i-0a64379b1c2d3e4f5"
S3_ERROR = '<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>{message}</Message></Error>'
_Start = Callable[..., Any]


class Server:
    """``with Server() as server:`` serves on loopback; what an earlier one of this process was told is forgotten."""

    def __init__(self, address: str = "127.0.0.1", port: int = 0) -> None:
        self._moto = import_module("moto.moto_server.werkzeug_app")
        application = self._moto.DomainDispatcherApplication(self._moto.create_backend_app)
        self._application: Callable[[dict[str, Any], _Start], Iterable[bytes]] = application
        self._lock = threading.Lock()
        self._requests: list[str] = []
        self._faults: list[dict[str, Any]] = []
        self._clients: dict[tuple[str, str], Any] = {}
        self._signers: list[str] = []
        self.region = REGION  # where ``call`` asks
        self._policy: Optional[Mapping[str, Any]] = None
        self.waiting = Waiting(self.call)
        make = import_module("werkzeug.serving").make_server
        handler = type("Quiet", (self._moto.MotoRequestHandler,), {"log": lambda *_: None})
        self._server: Any = make(address, port, self._answer, threaded=True, request_handler=handler)
        self.url = "http://{}:{}".format(*self._server.server_address[:2])
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> "Server":
        self._thread.start()
        self.reset()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def reset(self) -> None:
        """Nothing is stored, nothing was asked, nothing fails, and everybody may do everything."""
        import_module("moto.moto_api._internal.models").moto_api_backend.reset()
        self.grant(None)
        self.region = REGION
        self.waiting.reset()
        with self._lock:
            self._requests.clear()
            self._faults.clear()
            self._signers.clear()

    def grant(self, policy: Optional[Mapping[str, Any]]) -> None:
        """Let others do only what a policy allows; with None everything.

        moto's own enforcement knows no resources, and does not refuse in the services' words.
        """
        self._policy = policy

    def call(self, service: str, operation: str, **parameters: Any) -> Any:
        """A request of the account's owner, who may do everything, and is not among ``requests``."""
        answer = getattr(self._client(service), operation)(**parameters)
        return {key: value for key, value in answer.items() if key != "ResponseMetadata"}

    def fail(self, target: str, **how: Any) -> None:
        """The next ``times`` requests whose line contains ``target`` get ``status`` and ``body``, after ``delay``.

        With ``status=0`` they are only delayed, by so many seconds.
        """
        if set(how) - set(_FAULT):
            raise ValueError(f"a fault has {', '.join(_FAULT)}")
        with self._lock:
            self._faults.append({**_FAULT, "target": target, **how})

    @property
    def requests(self) -> list[str]:
        """What others have asked for, oldest first: ``secretsmanager.GetSecretValue 200``, ``GET /BUCKET/KEY 404``."""
        with self._lock:
            return list(self._requests)

    def signers(self) -> list[str]:
        """The access keys that the requests came with."""
        with self._lock:
            return list(self._signers)

    def handle(self, order: Mapping[str, Any]) -> Any:
        """``{"do": NAME, ...}``: reset, grant, call, fail, settle, place, requests or told, with their arguments."""
        given = {key: value for key, value in order.items() if key != "do"}
        if order["do"] == "requests":
            return self.requests
        if order["do"] == "told":
            return self.waiting.told
        known: dict[str, Callable[..., Any]]
        known = {"reset": self.reset, "grant": self.grant, "call": self.call, "fail": self.fail}
        known |= {"settle": self.waiting.settle, "place": self.waiting.place}
        return known[order["do"]](**given)

    def _client(self, service: str) -> Any:
        if (service, self.region) not in self._clients:
            self._clients[service, self.region] = import_module("boto3").client(
                service,
                region_name=self.region,
                endpoint_url=self.url,
                aws_access_key_id="owner",
                aws_secret_access_key="owner",
                config=import_module("botocore.config").Config(proxies={}, user_agent_extra="the-owner"),
            )
        return self._clients[service, self.region]

    def _answer(self, environ: dict[str, Any], start: _Start) -> Iterable[bytes]:
        if "the-owner" in environ.get("HTTP_USER_AGENT", ""):
            return self._application(environ, start)
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        line = _line(environ, body)
        with self._lock:
            self._signers.append(_credential(environ)[0])
        fault = self._next_fault(line) or self._refusal(environ, line, body)
        time.sleep(fault["delay"] if fault else 0.0)
        if not fault or not fault["status"]:
            answer = self.waiting.answer(line, _fields(body)) if " " not in line else None
            return _given(answer, self._noting(line, start)) or self._application(environ, self._noting(line, start))
        headers = {"Content-Type": "application/x-amz-json-1.1", **fault["headers"]}
        self._noting(line, start)(f"{fault['status']} Fault", list(headers.items()))
        return [fault["body"].encode()]

    def _refusal(self, environ: Mapping[str, Any], line: str, body: bytes) -> Optional[dict[str, Any]]:
        if self._policy is None:
            return None
        action, resource = self._wanted(environ, line, body)
        for statement in self._policy["Statement"]:
            if _is_one_of(action, statement["Action"]) and _is_one_of(resource, statement["Resource"]):
                return None
        if action.startswith("s3:"):
            return {**_FAULT, "status": 403, "body": S3_ERROR.format(code="AccessDenied", message="Access Denied")}
        words = f"User: {_USER} is not authorized to perform: {action} on resource: {resource} because no " + (
            f"identity-based policy allows the {action} action"
        )
        if "." not in line:
            headers = {"Content-Type": "text/xml"}
            return {**_FAULT, "status": 403, "body": error("AccessDenied", words), "headers": headers}
        return {**_FAULT, "status": 400, "body": json.dumps({"__type": "AccessDeniedException", "Message": words})}

    def _wanted(self, environ: Mapping[str, Any], line: str, body: bytes) -> "tuple[str, str]":
        """The action and the resource's ARN, as IAM names them."""
        service, _, operation = line.partition(".")
        region = _credential(environ)[2]
        if service == "ssm":
            name = json.loads(body).get("Name", "").lstrip("/")
            return f"ssm:{operation}", f"arn:aws:ssm:{region}:{ACCOUNT}:parameter/{name}"
        if service == "secretsmanager":
            name = json.loads(body).get("SecretId", "")
            known = [found["ARN"] for found in self.call("secretsmanager", "list_secrets")["SecretList"]]
            arns = [arn for arn in known if arn == name or arn.rpartition(":")[2][:-7] == name]
            return f"secretsmanager:{operation}", arns[
                0
            ] if arns else f"arn:aws:{service}:{region}:{ACCOUNT}:secret:{name}"
        if " /" in line:
            return "s3:GetObject", f"arn:aws:s3:::{environ['PATH_INFO'].lstrip('/')}"
        asked = _fields(body)
        if "StackName" in asked:
            return (
                f"cloudformation:{line}",
                f"arn:aws:cloudformation:{region}:{ACCOUNT}:stack/{asked['StackName']}/0f4ae510",
            )
        if "LifecycleHookName" in asked:
            group = f"autoScalingGroup:930d940e:autoScalingGroupName/{asked['AutoScalingGroupName']}"
            return f"autoscaling:{line}", f"arn:aws:autoscaling:{region}:{ACCOUNT}:{group}"
        return f"{_credential(environ)[3]}:{line}", "*"

    def _noting(self, line: str, start: _Start) -> _Start:
        def begin(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
            with self._lock:
                self._requests.append(f"{line} {status.split(maxsplit=1)[0]}")
            return start(status, headers, *more)

        return begin

    def _next_fault(self, line: str) -> Optional[dict[str, Any]]:
        with self._lock:
            for fault in self._faults:
                if fault["target"] in line and fault["times"] > 0:
                    fault["times"] -= 1
                    return fault
        return None


def _line(environ: Mapping[str, Any], body: bytes) -> str:
    """What a request asks for: JSON protocols say it in a header, the query protocol in the body, S3 by the path."""
    target = environ.get("HTTP_X_AMZ_TARGET", "")
    if target:
        return f"{'ssm' if target.startswith('AmazonSSM') else target.partition('.')[0]}.{target.rpartition('.')[2]}"
    action = urllib.parse.parse_qs(body.decode("latin-1")).get("Action")
    return action[0] if action else f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}"


def _fields(body: bytes) -> dict[str, str]:
    """The parameters of a request of the query protocol."""
    return dict(urllib.parse.parse_qsl(body.decode("latin-1")))


def _given(answer: Optional[Answer], start: _Start) -> list[bytes]:
    if answer is None:
        return []
    start(f"{answer.status} Answer", [("Content-Type", "text/xml")])
    return [answer.body.encode()]


def _is_one_of(text: str, patterns: Any) -> bool:
    return any(fnmatchcase(text, pattern) for pattern in ([patterns] if isinstance(patterns, str) else patterns))


def _credential(environ: Mapping[str, Any]) -> list[str]:
    """Access key, date, region and service, as the signature names them."""
    words = environ.get("HTTP_AUTHORIZATION", "").partition("Credential=")[2].partition(",")[0].split("/")
    return words if len(words) > 3 else ["", "", REGION, ""]


def _as_json(value: Any) -> Any:
    return {"base64": base64.b64encode(value).decode()} if isinstance(value, bytes) else str(value)


def _from_json(mapping: dict[str, Any]) -> Any:
    return base64.b64decode(mapping["base64"]) if set(mapping) == {"base64"} else mapping


def _orders(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    for line in lines:
        yield json.loads(line, object_hook=_from_json)


def main() -> None:
    """Serve until standard input ends."""
    answers, sys.stdout = sys.stdout, sys.stderr  # moto may print
    os.environ.setdefault("AWS_EC2_METADATA_DISABLED", "true")
    with Server(sys.argv[1], int(sys.argv[2])) as server:
        print("{}", file=answers, flush=True)
        for order in _orders(sys.stdin):
            reply: dict[str, Any] = {}
            try:
                reply["answer"] = server.handle(order)
            except Exception as err:
                reply["error"] = f"{type(err).__name__}: {err}"
            print(json.dumps(reply, default=_as_json), file=answers, flush=True)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
