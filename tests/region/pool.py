"""The user's site: a real HTCondor central manager and a submit node."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Optional

from .machine import Machine
from .topology import CM, SITE
from .wait import wait_until

TRUST_DOMAIN = "example.org"
_LOCAL_CONFIG = "/etc/condor/config.d/50-pool.config"
_TOKEN = "/etc/condor/tokens.d/pool"
_COMMON = f"TRUST_DOMAIN = {TRUST_DOMAIN}\n"
_SITE = f"CONDOR_HOST = {CM.hostname}\n{_COMMON}"
# Real pools answer within minutes; here the cycles are short so that tests wait for HTCondor, not for its timers.
_QUICK = "ENABLE_KERNEL_TUNING = False\n"  # the master sleeps a second for it
_CENTRAL_MANAGER = f"""{_SITE}{_QUICK}use role:CentralManager
NEGOTIATOR_INTERVAL = 1
NEGOTIATOR_MIN_INTERVAL = 1
NEGOTIATOR_CYCLE_DELAY = 1
MASTER_BACKOFF_CONSTANT = 1
"""
# A schedd that asks for a cycle while one is under way waits for the negotiator, which waits for the schedd,
# until one of them gives up after 20 s.  With a cycle each second there is no need to ask.
_ACCESS_POINT = f"""{_SITE}{_QUICK}use role:Submit
SCHEDD_SEND_RESCHEDULE = False
SCHEDD_INTERVAL = 2
SCHEDD_MIN_INTERVAL = 1
"""
# What the site's machines add to their configuration so that everybody has to show one thing; of a pool that trusts
# by address, nobody anything.  Without it they are as HTCondor's packages are: a token will do.
_DEMAND = "/etc/condor/config.d/60-demand.config"
_SITE_PASSWORD = "/etc/condor/passwords.d/site"
_DEMANDS = {
    "password": f"""SEC_DEFAULT_AUTHENTICATION_METHODS = FS, PASSWORD
SEC_PASSWORD_FILE = {_SITE_PASSWORD}
ALLOW_DAEMON = condor@password, condor_pool@*, condor@$(UID_DOMAIN)
ALLOW_NEGOTIATOR = $(ALLOW_DAEMON)
ALLOW_ADMINISTRATOR = condor@$(UID_DOMAIN)
""",
    # A pattern for each: HTCondor 23.9 takes a single address for every address there is (HTCONDOR-2805).
    "host": f"""SEC_DEFAULT_AUTHENTICATION = OPTIONAL
SEC_DEFAULT_ENCRYPTION = OPTIONAL
SEC_DEFAULT_INTEGRITY = OPTIONAL
SEC_DEFAULT_AUTHENTICATION_METHODS = FS
ALLOW_WRITE = {SITE.network}
ALLOW_DAEMON = {SITE.network}
ALLOW_NEGOTIATOR = {SITE.network}
ALLOW_ADMINISTRATOR = {SITE.network}
ALLOW_ADVERTISE_STARTD = 67.202.60.0/24, {SITE.network}
ALLOW_ADVERTISE_MASTER = 67.202.60.0/24, {SITE.network}
""",
}
_LOGS = "CollectorLog NegotiatorLog SchedLog ShadowLog StartLog StarterLog.slot* MasterLog"
_LOG_LINES = 15


class Pool:
    """Secured as HTCondor's packages are: the stock 00-htcondor-9.0.config stays, daemons show IDTOKENS."""

    def __init__(self, cm: Machine, submit: Machine, workers: Sequence[Machine]) -> None:
        """``workers`` are no part of the site; their logs are read when something does not happen."""
        self._cm = cm
        self._submit = submit
        self._workers = workers

    def start(self) -> None:
        """Both machines' daemons, until the collector knows negotiator and schedd."""
        self._cm.write(_LOCAL_CONFIG, _CENTRAL_MANAGER)
        start_daemons(self._cm)
        self._wait_for_ad("-collector")  # it makes the signing key
        self.enrol(self._submit, ["ADVERTISE_SCHEDD", "ADVERTISE_MASTER", "READ"], _ACCESS_POINT)
        start_daemons(self._submit)
        for kind in ("-negotiator", "-schedd"):
            self._wait_for_ad(kind)

    def demand(self, method: str, password: str = "") -> None:
        """Have the site trust by ``password`` or by ``host``, and by nothing else; ``idtokens``: as at the start."""
        for machine in (self._cm, self._submit):
            if method in _DEMANDS:
                machine.write(_DEMAND, _DEMANDS[method])
            else:
                machine.run(["rm", "-f", _DEMAND])
            if password:
                machine.run(["condor_store_cred", "add", "-f", _SITE_PASSWORD, "-i", "-"], input=password)
            end_daemons(machine)
        start_daemons(self._cm)
        self._wait_for_ad("-negotiator")
        start_daemons(self._submit)
        self._wait_for_ad("-schedd")

    def forget_sessions(self) -> None:
        """As after a restart of the central manager: whoever wants to be known has to show who they are."""
        end_daemons(self._cm)
        self.start_central_manager()

    def start_central_manager(self) -> None:
        """After ``end_daemons(cm)``, an outage of collector and negotiator; where they run they go on."""
        if "condor_master" not in " ".join(self._cm.processes().values()):
            start_daemons(self._cm)
        for kind in ("-negotiator", "-schedd"):
            self._wait_for_ad(kind)

    def enrol(self, machine: Machine, authorizations: Sequence[str], config: str = _COMMON) -> None:
        """What whoever builds a machine's image leaves on it: a token and the trust domain that it goes with."""
        machine.write(_LOCAL_CONFIG, config)
        machine.run(["install", "-d", "--mode=0700", "/etc/condor/tokens.d"])
        machine.write(_TOKEN, self.token(authorizations), 0o600)

    def enrol_worker(self, machine: Machine) -> None:
        """With the least that an execute node needs."""
        self.enrol(machine, ["ADVERTISE_STARTD", "ADVERTISE_MASTER", "READ"])

    def token(
        self, authorizations: Sequence[str], lifetime_s: int = 86400, identity: str = f"condor@{TRUST_DOMAIN}"
    ) -> str:
        """An IDTOKEN, limited to ``authorizations``."""
        limits = [part for authorization in authorizations for part in ("-authz", authorization)]
        argv = ["condor_token_create", "-identity", identity, "-lifetime", str(lifetime_s), *limits]
        return self._cm.run(argv).stdout

    def ads(self, *arguments: str) -> list[dict[str, Any]]:
        """``condor_status -json ARGUMENTS``, asked at the central manager."""
        answer = self._cm.run(["condor_status", "-json", *arguments]).stdout
        return json.loads(answer) if answer.strip() else []

    def slots(self, *attributes: str) -> list[dict[str, Any]]:
        """The slots that the collector knows, with some or all attributes.

        ClassAds know no upper and lower case: the names are as they were asked for, not as HTCondor spells them.
        """
        ads = self.ads(*(["-attributes", ",".join(attributes)] if attributes else []))
        asked = {name.lower(): name for name in attributes}
        return [{asked.get(name.lower(), name): value for name, value in ad.items()} for ad in ads]

    def wait_for_slot(self, timeout: float = 30) -> dict[str, Any]:
        """The first slot in the pool, with all its attributes."""
        wait_until(
            lambda: self.slots("Name"), "a slot in the collector", timeout, evidence=self.evidence, interval=0.05
        )
        return self.slots()[0]

    def wait_for_no_slot(self, timeout: float = 30) -> None:
        """Until the collector knows no slot any more."""
        wait_until(lambda: not self.slots("Name"), "no slot in the collector", timeout, evidence=self.evidence)

    def restart_collector(self) -> None:
        """It forgets every ad; returns when it answers again."""
        self._cm.run(["condor_restart", "-daemon", "collector"])
        wait_until(lambda: not self._known("-schedd"), "the collector has ended", 30, evidence=self.evidence)
        self._wait_for_ad("-collector")

    def forget(self) -> None:
        """Take from the collector what a worker advertised that was cut off."""
        ours = " && ".join(f'Name =!= "{machine.hostname}"' for machine in (self._cm, self._submit))
        for kind, target in (("STARTD", "Machine"), ("MASTER", "DaemonMaster")):
            query = f'MyType = "Query"\nTargetType = "{target}"\nRequirements = {ours}\n'
            self._cm.run(["condor_advertise", f"INVALIDATE_{kind}_ADS"], input=query)

    def evidence(self) -> str:
        """The last lines of HTCondor's logs, for a failed test's message."""
        return "\n".join(daemon_logs(machine) for machine in (self._cm, self._submit, *self._workers))

    def _wait_for_ad(self, kind: str) -> None:
        wait_until(lambda: self._known(kind), f"the collector knows a {kind[1:]}", 30, evidence=self.evidence)

    def _known(self, kind: str) -> bool:
        done = self._cm.run(["condor_status", kind, "-autoformat", "Name"], check=False)
        return done.returncode == 0 and bool(done.stdout.strip())


def start_daemons(machine: Machine, env: Optional[Mapping[str, str]] = None) -> None:
    """What the distribution's service start does: directories in the fresh /run, then condor_master."""
    machine.run(["systemd-tmpfiles", "--create", "legacy.conf", "condor-tmpfiles.conf"])
    machine.run(["condor_master"], env=env)


def end_daemons(machine: Machine) -> None:
    """At once, and return when they are gone."""
    machine.run(["pkill", "-QUIT", "condor_master"])
    wait_until(lambda: "condor_" not in " ".join(machine.processes().values()), "the daemons end", 30)


def daemon_logs(machine: Machine) -> str:
    """The ends of a machine's HTCondor logs."""
    if not machine.is_on:
        return f"{machine.hostname} is off\n"
    argv = ["sh", "-c", f"cd /var/log/condor && tail -n {_LOG_LINES} $(ls {_LOGS} 2>/dev/null)"]
    return f"===== {machine.hostname}\n{machine.run(argv, check=False).stdout}"
