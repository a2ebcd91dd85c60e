"""What an operator can choose, validated once and never changed afterwards."""

from __future__ import annotations

import ipaddress
import os.path
import re
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple, Self

from sanic_dispatch.config.menu import read_menu
from sanic_dispatch.config.origins import ANY, OPAQUE, check_origins
from sanic_dispatch.config.public_url import check_public_url
from sanic_dispatch.config.redis_url import check_redis
from sanic_dispatch.config.tokens import check_tokens, new_token, read_tokens
from sanic_dispatch.errors import SettingsError

DOORS = ("worker", "submit", "operator")
"""What a token is for."""

SELF = "self"
"""As an ancestor of a frame: this service's own pages."""

HOUR_S = 3600.0
YEAR_S = 365 * 24 * HOUR_S


class Mode(StrEnum):
    """The backends of a queue, by the names that users of the original know."""

    IN_MEMORY = "InMemory"
    JSON_FILE = "JsonFile"
    CACHED_JSON_FILE = "CachedJsonFile"
    SQLITE = "Sqlite"
    REDIS = "Redis"

    @property
    def is_shared(self) -> bool:
        """Whether several processes can have the same queue."""
        return self is Mode.REDIS

    @property
    def is_durable(self) -> bool:
        """Whether what waits outlives the process."""
        return self is not Mode.IN_MEMORY


class OnDoubt(StrEnum):
    """What becomes of a job of which nobody knows whether its worker has it."""

    AUTO = "auto"
    HOLD = "hold"
    RESEND = "resend"


class LogFormat(StrEnum):
    """How a line of the log looks; ``auto`` is human on a terminal and JSON elsewhere."""

    AUTO = "auto"
    HUMAN = "human"
    JSON = "json"


class LogLevel(StrEnum):
    """The least important line that is still written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings with their defaults; durations are in seconds.

    An empty ``host`` is every interface, IPv6 and IPv4; an empty ``public_url`` is wherever a page
    says that it is. ``lease_s`` None means that an assigned job stays with its worker for as long
    as it takes, ``orders_per_minute`` None that nobody counts. Tokens are not in the ``repr``.
    Raises SettingsError where a value is out of range, or two contradict each other.
    """

    port: int = 2567
    host: str = ""
    tls_cert: Path | None = None
    tls_key: Path | None = None
    job_queue_mode: Mode = Mode.CACHED_JSON_FILE
    worker_queue_mode: Mode = Mode.CACHED_JSON_FILE
    data_dir: Path = Path()
    fsync: bool = True
    repair: bool = False
    keep_done_s: float = 24 * HOUR_S
    redis_url: str = field(default="redis://localhost:6379/0", repr=False)
    redis_prefix: str = "sanic-dispatch"
    workers: int = 1
    public: Path | None = None
    menu: Path | None = None
    public_url: str = ""
    submit_wait_s: float = 2.0
    callback_timeout_s: float = 10.0
    max_attempts: int = 3
    lease_s: float | None = None
    on_doubt: OnDoubt = OnDoubt.AUTO
    worker_patience_s: float = 24 * HOUR_S
    probe_after_s: float = 60.0
    unconsumed_after_s: float = 30.0
    stop_grace_s: float = 12.0
    max_jobs: int = 100_000
    max_workers: int = 10_000
    max_body_bytes: int = 2 * 2**20
    max_depth: int = 127
    max_connections: int = 20_000
    request_timeout_s: float = 10.0
    orders_per_minute: int | None = None
    trusted_proxies: tuple[str, ...] = ()
    worker_tokens: tuple[str, ...] = field(default=(), repr=False)
    submit_tokens: tuple[str, ...] = field(default=(), repr=False)
    operator_tokens: tuple[str, ...] = field(default=(), repr=False)
    allow_callback: tuple[str, ...] = ()
    cors_origins: tuple[str, ...] = ()
    allow_origins: tuple[str, ...] = ()
    frame_ancestors: tuple[str, ...] = ()
    log_format: LogFormat = LogFormat.AUTO
    log_level: LogLevel = LogLevel.INFO

    def __post_init__(self) -> None:
        for name, allowed in _RANGES.items():
            _check_range(name, allowed, getattr(self, name))
        _check_host(self.host)
        _check_networks(self.trusted_proxies)
        for door in DOORS:
            check_tokens(f"--{door}-token", getattr(self, f"{door}_tokens"))
        check_origins("--cors-origin", self.cors_origins, ANY)
        check_origins("--allow-origin", self.allow_origins, ANY, OPAQUE)
        check_origins("--frame-ancestors", self.frame_ancestors, ANY, SELF)
        check_public_url(self.public_url)
        check_redis(self.redis_url, self.redis_prefix)
        self._check_workers()
        if (self.tls_cert is None) is not (self.tls_key is None):
            raise SettingsError("--tls-cert and --tls-key belong together")
        if self.menu is not None:
            read_menu(self.menu)
        if self.public is not None:
            self._check_public(self.public)

    @classmethod
    def of(cls, mode: Mode, **values: Any) -> Settings:
        """``mode`` is for both queues, except for one whose own mode is given and not None.

        ``worker_token_files`` and the like hold paths: the tokens in those files count too.
        """
        for queue in ("job_queue_mode", "worker_queue_mode"):
            values[queue] = values.get(queue) or mode
        for door in DOORS:
            for path in values.pop(f"{door}_token_files", ()):
                tokens = read_tokens(f"--{door}-token-file", path)
                values[f"{door}_tokens"] = (*values.get(f"{door}_tokens", ()), *tokens)
        return cls(**values)

    def with_operator_token(self) -> Self:
        """The same, with a token made for the operator where none was given."""
        return self if self.operator_tokens else replace(self, operator_tokens=(new_token(),))

    @property
    def scheme(self) -> str:
        """What the service speaks: http or https."""
        return "http" if self.tls_cert is None else "https"

    @property
    def needs_data_dir(self) -> bool:
        """Whether anything is written to the data folder."""
        return any(mode.is_durable and not mode.is_shared for mode in self._modes)

    @property
    def needs_redis(self) -> bool:
        """Whether anything is kept in Redis."""
        return any(mode.is_shared for mode in self._modes)

    @property
    def is_shared(self) -> bool:
        """Whether several processes can share both queues."""
        return all(mode.is_shared for mode in self._modes)

    @property
    def _modes(self) -> tuple[Mode, Mode]:
        return self.job_queue_mode, self.worker_queue_mode

    @property
    def resend_doubt(self) -> bool | None:
        """``on_doubt`` as a job's policy has it; None lets the kind of worker decide."""
        return None if self.on_doubt is OnDoubt.AUTO else self.on_doubt is OnDoubt.RESEND

    def _check_workers(self) -> None:
        if self.workers > 1:
            raise SettingsError(
                f"--workers {self.workers}: in this version one process owns the queues; "
                "start a second dispatcher with --mode Redis, which stands by"
            )

    def _check_public(self, public: Path) -> None:
        if not os.path.isdir(public):
            raise SettingsError(f"--public {public} is not a folder")
        if self.needs_data_dir and _is_inside(self.data_dir, public):
            raise SettingsError(
                f"--data-dir {self.data_dir} lies in --public {public}: "
                "everybody could read the jobs"
            )


class _Range(NamedTuple):
    """From ``low`` to ``high``, both included; ``unit_s`` is the flag's unit in seconds."""

    low: float
    high: float
    unit: str = ""
    unit_s: float = 1.0

    def __str__(self) -> str:
        low, high = (f"{bound / self.unit_s:.12g}" for bound in (self.low, self.high))
        return f"from {low} to {high}{self.unit}"


_RANGES = {
    "port": _Range(0, 65535),
    "workers": _Range(1, 256),
    "keep_done_s": _Range(0, 10 * YEAR_S, " hours", HOUR_S),
    "submit_wait_s": _Range(0, HOUR_S, " seconds"),
    "callback_timeout_s": _Range(0.001, HOUR_S, " seconds"),
    "max_attempts": _Range(1, 1000),
    "lease_s": _Range(0.001, 10 * YEAR_S, " seconds"),
    "worker_patience_s": _Range(0, 10 * YEAR_S, " hours", HOUR_S),
    "probe_after_s": _Range(0, 10 * YEAR_S, " seconds"),
    "unconsumed_after_s": _Range(0.1, 10 * YEAR_S, " seconds"),
    "stop_grace_s": _Range(0, HOUR_S, " seconds"),
    "max_jobs": _Range(1, 100_000_000),
    "max_workers": _Range(1, 1_000_000),
    "max_body_bytes": _Range(1024, 2**30, " bytes"),
    "max_depth": _Range(1, 500),
    "max_connections": _Range(1, 1_000_000),
    "request_timeout_s": _Range(0.001, HOUR_S, " seconds"),
    "orders_per_minute": _Range(1, 100_000),
}

_HOST = re.compile(r"[A-Za-z0-9._-]*")


def _check_range(field: str, allowed: _Range, value: float | None) -> None:
    if value is not None and not allowed.low <= value <= allowed.high:
        flag = "--" + field.removesuffix("_s").removesuffix("_bytes").replace("_", "-")
        raise SettingsError(f"{flag} must be {allowed}, not {value / allowed.unit_s:.12g}")


def _check_host(host: str) -> None:
    if not (_HOST.fullmatch(host) or _is_ipv6(host)):
        raise SettingsError(f"--host {host!r} is neither an address nor a name")


def _check_networks(networks: tuple[str, ...]) -> None:
    for network in networks:
        try:
            ipaddress.ip_network(network)
        except ValueError:
            raise SettingsError(f"--trusted-proxy {network!r} is no address or network") from None


def _is_ipv6(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).version == 6
    except ValueError:
        return False


def _is_inside(inner: Path, outer: Path) -> bool:
    return Path(os.path.realpath(inner)).is_relative_to(os.path.realpath(outer))
