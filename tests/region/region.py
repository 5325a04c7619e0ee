"""The whole region, made and removed."""

import shutil
import signal
from contextlib import ExitStack
from pathlib import Path
from types import FrameType, TracebackType
from typing import Optional

from . import agent, ami, image
from .aws import Aws
from .booted import BootedMachine
from .imds import Imds
from .jobs import Jobs
from .machine import Machine
from .network import Network
from .pool import Pool
from .prerequisites import prerequisites
from .sweep import prefix, sweep
from .topology import CM, COLLECTOR_PORT, HOSTS, NEIGHBOUR, PUBLIC, SUBMIT, WORKER, hosts_file

_ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Region:
    """``with Region() as region:`` gives a running site and a worker on which no daemon runs yet.

    One per process, in the main thread.  Whatever ends the process, short of SIGKILL, removes everything;
    after SIGKILL the next region does.
    """

    network: Network
    cm: Machine
    submit: Machine
    worker: Machine
    neighbour: Machine
    pool: Pool
    jobs: Jobs
    imds: Imds
    aws: Aws

    def __init__(self) -> None:
        self._booted: Optional[BootedMachine] = None

    def __enter__(self) -> "Region":
        prerequisites()
        sweep(image.runs())
        with ExitStack() as stack:
            stack.callback(_restore_signals, {number: signal.getsignal(number) for number in _ENDINGS})
            for number in _ENDINGS:
                if signal.getsignal(number) is not signal.SIG_IGN or number is not signal.SIGHUP:  # nohup stays nohup
                    signal.signal(number, _end)
            self._make(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: Optional[type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        _ignore_endings()
        self._stack.close()

    def reset_worker(self) -> None:
        """A new instance from the same image, at the same addresses, in a pool that has not seen it."""
        self._free_the_workers_place()
        self.worker.restore()
        self.worker.start()

    def booted_worker(self) -> BootedMachine:
        """A new instance that is a whole operating system, in the worker's place, and still off.

        ``worker`` is off from now on until ``reset_worker``.  The first call makes the image, in some seconds.
        """
        self._free_the_workers_place()
        self._booted = self._booted or self._make_booted()
        self._booted.restore()
        return self._booted

    def associate(self, public: Optional[str]) -> None:
        """Give the worker another public address, or none: NAT, name service and metadata agree, as in EC2."""
        if public is None:
            self.network.disassociate()
        else:
            self.network.associate(public)
        for host in HOSTS:
            self.machine(host.name).set_hosts(hosts_file(host.segment, public))
        if self._booted:
            self._booted.set_hosts(hosts_file(WORKER.segment, public))
        self.imds.associate(public)

    def machine(self, name: str) -> Machine:
        """By the name that it has in ``topology``."""
        return self._machines[name]

    def _free_the_workers_place(self) -> None:
        """No worker is on, and nothing is left of what a test did to the region."""
        for machine in filter(None, (self.worker, self._booted)):
            machine.kill()
        self.associate(PUBLIC)
        self.network.allow([COLLECTOR_PORT])
        self.imds.reset()
        self.aws.reset()
        self.pool.forget()

    def _make(self, stack: ExitStack) -> None:
        self._directory = directory = image.runs() / prefix()
        directory.mkdir(parents=True)
        stack.callback(shutil.rmtree, directory, ignore_errors=True)
        self._make_network(stack)
        self._make_machines(directory, stack)
        self._make_site()
        self.imds = Imds(self.network.router, directory)
        stack.callback(self.imds.stop)
        self.imds.start()
        self.aws = Aws(self.network.router, directory)
        stack.callback(self.aws.stop)
        self._prepare_worker()

    def _make_network(self, stack: ExitStack) -> None:
        self.network = Network(prefix())
        stack.callback(self.network.remove)
        self.network.create()
        self.network.associate(PUBLIC)

    def _make_machines(self, directory: Path, stack: ExitStack) -> None:
        tree = image.tree(image.TRIXIE)
        self._machines: dict[str, Machine] = {}
        for host in HOSTS:
            namespace = self.network.attach(host)
            (directory / host.name).mkdir()
            machine = Machine(
                namespace,
                tree=tree,
                directory=directory / host.name,
                hostname=host.hostname,
                hosts=hosts_file(host.segment, PUBLIC),
            )
            stack.callback(machine.remove)
            machine.start()
            self._machines[host.name] = machine

    def _make_site(self) -> None:
        self.cm, self.submit = self.machine(CM.name), self.machine(SUBMIT.name)
        self.worker, self.neighbour = self.machine(WORKER.name), self.machine(NEIGHBOUR.name)
        self._workers: list[Machine] = [self.worker]
        self.pool = Pool(self.cm, self.submit, self._workers)
        self.pool.start()
        self.jobs = Jobs(self.submit, self.pool)
        self.jobs.prepare()

    def _prepare_worker(self) -> None:
        """The image that ``reset_worker`` starts from."""
        self.pool.enrol_worker(self.worker)
        agent.install(self.worker)
        self.worker.stop()
        self.worker.save()
        self.worker.start()

    def _make_booted(self) -> BootedMachine:
        machine = BootedMachine(
            self.network.namespace(WORKER),
            tree=image.tree(image.TRIXIE),
            directory=self._directory / "booted",
            hostname=WORKER.hostname,
            hosts=hosts_file(WORKER.segment, PUBLIC),
        )
        self._stack.callback(machine.remove)
        try:
            ami.make(machine, self.pool)
        except BaseException:  # the worker's place must be free for the next test
            machine.remove()
            raise
        self._workers.append(machine)
        return machine


def _end(number: int, frame: Optional[FrameType]) -> None:
    """Unwind as Ctrl-C does; an impatient second one must not leave half of the region behind."""
    _ignore_endings()
    raise KeyboardInterrupt


def _ignore_endings() -> None:
    for number in _ENDINGS:
        signal.signal(number, signal.SIG_IGN)


def _restore_signals(handlers: dict[signal.Signals, object]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)  # type: ignore[arg-type]
