"""All metrics in Prometheus' format: names, units, labels and help texts.

No label holds a job, a worker or a token. What is counted by topic has the label ``topic``, but for
the unnamed topic: to Prometheus an empty label is the same as no label. Where several processes
share the port, each scrape sees one of them, and all samples have the label ``process``: what two
of them count is not taken for one counter. ``docs/operations.md`` lists the same metrics.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, choose_encoder, generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from sanic_dispatch import __version__
from sanic_dispatch.cluster.members import Members
from sanic_dispatch.core.job import Way
from sanic_dispatch.live.projection import Projection
from sanic_dispatch.live.tracked_robots import RobotState
from sanic_dispatch.observability.durations import Histogram
from sanic_dispatch.observability.metrics.loop_lag import LoopLag
from sanic_dispatch.observability.metrics.sources import Sources
from sanic_dispatch.outbox.endpoint_queue import EndpointState

PREFIX = "dispatch_"

_VERSION = re.compile(r"[0-9]{1,3}(\.[0-9]{1,3}){1,2}")


class Exposition(Collector):
    """Collects and formats all metrics in a registry of its own."""

    def __init__(
        self,
        topics: Mapping[str, Sources],
        loop_lag: LoopLag,
        responses: Mapping[int, int],
        worker_connections: Callable[[], Mapping[str, int]],
        members: Members | None = None,
    ) -> None:
        """``topics`` are by name, ``responses`` by status, ``worker_connections`` by channel."""
        self._topics = topics
        self._loop_lag = loop_lag
        self._responses = responses
        self._worker_connections = worker_connections
        self._members = members
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        self._process = ProcessCollector(registry=None)

    def render(self, accept: str) -> tuple[bytes, str]:
        """Return the metrics and their media type, in the format that ``accept`` asks for.

        Unless that header is understood, the plain text format is used.
        """
        encode, media_type = _encoder(accept)
        return encode(self._registry), media_type

    def describe(self) -> Iterable[Metric]:
        """Return nothing: the registry then does not collect at registration."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Yield all metric families with their present values."""
        process = self._topics[""].settings.process
        for family in self._families():
            if process:
                _add_label(family, "process", str(process))
            yield family

    def _families(self) -> Iterator[Metric]:
        yield from self._process.collect()
        yield from self._service()
        families: dict[str, Metric] = {}
        for topic, sources in self._topics.items():
            for family in _of_topic(sources):
                if topic:
                    _add_label(family, "topic", topic)
                merged = families.setdefault(family.name, family)
                if merged is not family:
                    merged.samples += family.samples
        yield from families.values()

    def _service(self) -> Iterator[Metric]:
        """Yield what the topics share."""
        yield _histogram(
            "event_loop_lag_seconds",
            "How late a timer of the event loop runs; measured four times a second.",
            self._loop_lag.seconds,
        )
        yield _counts(
            "http_responses",
            "HTTP answers by status.",
            "code",
            {str(status): count for status, count in sorted(self._responses.items())},
        )
        yield _gauges(
            "worker_connections",
            "Open websockets of workers, and polls that wait.",
            "channel",
            self._worker_connections(),
        )
        if self._members is not None:
            yield _gauge(
                "members",
                "Living processes that share the queues, this one included.",
                len(self._members.living),
            )


def _add_label(family: Metric, name: str, value: str) -> None:
    family.samples = [
        sample._replace(labels={**sample.labels, name: value}) for sample in family.samples
    ]


def _of_topic(sources: Sources) -> Iterator[Metric]:
    sources.jobs.catch_up()
    yield from _topic(sources)
    yield from _ownership(sources)
    yield from _waiting(sources)
    yield from _jobs(sources)
    yield from _live(sources)
    yield from _storage(sources)
    yield from _webhooks(sources)
    yield from _push(sources)


def _topic(sources: Sources) -> Iterator[Metric]:
    modes = sources.settings.job_queue_mode.value, sources.settings.worker_queue_mode.value
    info = GaugeMetricFamily(
        PREFIX + "info",
        "1, with the version and the modes of the queues as labels.",
        labels=["version", "job_queue_mode", "worker_queue_mode"],
    )
    info.add_metric([__version__, *modes], 1)
    yield info
    yield _gauge(
        "paused",
        "1 while an operator has paused the handing out.",
        sources.hub.projection.counts().paused,
    )
    yield _gauge(
        "pairing_stuck_seconds",
        "How long the same free job and the same usable worker have waited side by side.",
        sources.watchdog.stuck_s,
    )


def _ownership(sources: Sources) -> Iterator[Metric]:
    ownership = sources.ownership
    if ownership is not None:
        yield _gauge("owner", "1 if this process owns the topic.", ownership.is_owner)
        yield _gauge(
            "owner_epoch",
            "The number of the last ownership that this process had; 0 if it had none.",
            ownership.epoch,
        )


def _waiting(sources: Sources) -> Iterator[Metric]:
    projection = sources.hub.projection
    busy = [robot.state for robot in projection.robots.busy.values()]
    in_doubt = busy.count(RobotState.IN_DOUBT)
    yield _gauges(
        "jobs",
        "Unfinished jobs: waiting, assigned, or in doubt (a worker may have it or not).",
        "state",
        {
            "waiting": len(projection.line),
            "assigned": len(projection.assigned) - in_doubt,
            "in_doubt": in_doubt,
        },
    )
    yield _gauges(
        "workers",
        "Workers: waiting, with a job, with a job in doubt, or set aside.",
        "state",
        {
            "waiting": len(projection.robots.free),
            "assigned": len(busy) - in_doubt,
            "in_doubt": in_doubt,
            "aside": len(projection.robots.aside),
        },
    )
    yield _gauge(
        "jobs_unconsumed",
        "Jobs in doubt that a worker took and did not use: its process is probably dead.",
        sum(robot.has_unconsumed_job for robot in projection.robots.busy.values()),
    )
    yield _gauge(
        "oldest_waiting_job_age_seconds",
        "How long the oldest waiting job has waited; 0 if none waits.",
        _oldest_age_s(projection, sources.clock.now_s()),
    )
    settings = sources.settings
    yield _gauges(
        "limit",
        "The most waiting jobs, waiting workers, and clients of the live channel.",
        "of",
        {
            "jobs": settings.max_jobs,
            "workers": settings.max_workers,
            "live_clients": settings.max_connections,
        },
    )


def _jobs(sources: Sources) -> Iterator[Metric]:
    jobs, puts = sources.jobs, sources.deliveries
    yield _counts(
        "events",
        "Events by kind.",
        "kind",
        {kind.value: count for kind, count in jobs.events.items()},
    )
    yield _counts("jobs_finished", "Finished jobs by final state.", "state", jobs.finished)
    deliveries = CounterMetricFamily(
        PREFIX + "deliveries",
        "Hand-overs by outcome: by PUT to a callback, in the answer to a registration, or offered "
        "to a connected worker.",
        labels=["way", "outcome"],
    )
    for way, outcomes in {Way.PUT: puts.outcomes, **jobs.hand_overs}.items():
        for outcome, count in outcomes.items():
            deliveries.add_metric([way.value, outcome], count)
    yield deliveries
    yield _histogram(
        "delivery_duration_seconds", "How long a PUT to a callback took.", puts.seconds
    )
    yield _histogram(
        "job_wait_seconds", "From the submission until a worker had the job.", jobs.wait_s
    )
    yield _histogram(
        "job_service_seconds",
        "How long workers had done jobs, since the confirmation.",
        jobs.service_s,
    )
    hit_rate = sources.hub.projection.forecast.estimator.hit_rate
    if hit_rate is not None:
        yield _gauge(
            "promise_hit_ratio",
            "The share of recent promises that were kept; missing before one was due.",
            hit_rate,
        )


def _live(sources: Sources) -> Iterator[Metric]:
    stats = sources.hub.stats
    clients = GaugeMetricFamily(
        PREFIX + "live_clients",
        "Clients of the live channel.",
        labels=["transport", "view"],
    )
    for (transport, view), count in sorted(stats.clients.items()):
        clients.add_metric([transport, view], count)
    yield clients
    yield _count("live_frames", "Frames that were written to clients.", stats.frames)
    yield _count(
        "live_clients_cut",
        "Clients that were dropped because they did not read.",
        stats.dropped,
    )
    yield _histogram(
        "live_lag_seconds",
        "Time from the first unpushed event until all clients were served.",
        stats.lag_s,
    )


def _storage(sources: Sources) -> Iterator[Metric]:
    stats = sources.commits
    yield _histograms(
        "commit_duration_seconds",
        "Duration of a commit.",
        {queue: commits.seconds for queue, commits in stats.items()},
    )
    yield _histograms(
        "commit_changes",
        "Changes in a commit.",
        {queue: commits.changes for queue, commits in stats.items()},
    )
    yield _counts(
        "commit_failures",
        "Commits that failed.",
        "queue",
        {queue: commits.failures for queue, commits in stats.items()},
    )
    yield _gauges(
        "storage_failing",
        "1 if the last commit failed.",
        "queue",
        {queue: int(commits.is_failing) for queue, commits in stats.items()},
    )
    history = sources.history
    yield _gauge("history_size_bytes", "Length of the history on the disk.", history.size_bytes)
    yield _gauge(
        "history_failing",
        "1 if the last events could not be written to the history: they wait in memory.",
        history.is_failing,
    )
    yield _count(
        "history_dropped",
        "Events that the history does not have any more: too old, or too many.",
        history.dropped,
    )
    yield _count(
        "history_lost",
        "Events that are not in the history since the disk had no room.",
        history.lost,
    )


def _webhooks(sources: Sources) -> Iterator[Metric]:
    outbox = sources.outbox
    states = Counter(queue.state for queue in outbox.queues)
    yield _gauges(
        "webhooks",
        "Webhooks: delivering, retrying after a failure, or disabled after a day of failures.",
        "state",
        {state.value: states[state] for state in EndpointState},
    )
    yield _counts(
        "webhook_messages",
        "Messages that were sent to webhooks by outcome; a failed one is sent again.",
        "outcome",
        {"delivered": outbox.stats.delivered, "failed": outbox.stats.failed},
    )
    now_s = sources.clock.now_s()
    oldest = [queue.oldest for queue in outbox.queues if queue.state is not EndpointState.DISABLED]
    yield _gauge(
        "webhook_oldest_pending_seconds",
        "The age of the oldest event that a webhook was not told yet; 0 if there is none.",
        max((now_s - event.at_s for event in oldest if event is not None), default=0.0),
    )


def _push(sources: Sources) -> Iterator[Metric]:
    phones, counts = sources.push_outbox.phones, sources.push_outbox.counts
    retrying = sum(1 for phone in phones if phone.pending is not None and phone.attempts)
    yield _gauges(
        "push_subscriptions",
        "Phones that are told of an order: idle, or retrying a message after a failure.",
        "state",
        {"idle": len(phones) - retrying, "retrying": retrying},
    )
    yield _counts(
        "push_messages",
        "Messages to phones by outcome: delivered, failed (it is sent again while it is true), "
        "dropped, or gone (the subscription has ended).",
        "outcome",
        {
            "delivered": counts.delivered,
            "failed": counts.failed,
            "dropped": counts.dropped,
            "gone": counts.gone,
        },
    )


def _encoder(accept: str) -> tuple[Callable[[Collector], bytes], str]:
    """Choose the encoder, and the plain one for a malformed version.

    The library parses a requested version as a number and fails for anything else.
    """
    named = re.findall(r"version=([^;,]*)", accept)
    if all(_VERSION.fullmatch(version.strip()) for version in named):
        return choose_encoder(accept)
    return generate_latest, CONTENT_TYPE_PLAIN_0_0_4


def _oldest_age_s(projection: Projection, now_s: float) -> float:
    """Return the age of the oldest waiting job, which need not be the next one."""
    job = projection.line.oldest()
    return 0.0 if job is None else max(now_s - job.submitted_s, 0.0)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(PREFIX + name, text, value=value)


def _gauges(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    return _labelled(GaugeMetricFamily(PREFIX + name, text, labels=[label]), values)


def _count(name: str, text: str, value: int) -> Metric:
    return CounterMetricFamily(PREFIX + name, text, value=value)


def _counts(name: str, text: str, label: str, values: Mapping[str, int]) -> Metric:
    return _labelled(CounterMetricFamily(PREFIX + name, text, labels=[label]), values)


def _labelled(
    family: GaugeMetricFamily | CounterMetricFamily, values: Mapping[str, float]
) -> Metric:
    for key, value in values.items():
        family.add_metric([key], value)
    return family


def _histogram(name: str, text: str, values: Histogram) -> Metric:
    return HistogramMetricFamily(
        PREFIX + name, text, buckets=list(values.buckets()), sum_value=values.total
    )


def _histograms(name: str, text: str, values: Mapping[str, Histogram]) -> Metric:
    family = HistogramMetricFamily(PREFIX + name, text, labels=["queue"])
    for queue, each in values.items():
        family.add_metric([queue], buckets=list(each.buckets()), sum_value=each.total)
    return family
