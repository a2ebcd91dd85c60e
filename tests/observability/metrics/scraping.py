"""Scraping of /metrics as Prometheus does it."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from tests.support.server import Service


class Scrape:
    """The parsed metrics."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.families: dict[str, Metric] = {
            family.name: family for family in text_string_to_metric_families(text)
        }

    def value(self, name: str, **labels: str) -> float:
        """Return the value of the one sample with this name and these labels."""
        (value,) = [
            sample.value
            for sample in self.samples()
            if (sample.name, sample.labels) == (name, labels)
        ]
        return value

    def samples(self) -> Iterable:
        """Return all samples."""
        return [sample for family in self.families.values() for sample in family.samples]

    def names(self) -> set[str]:
        """Return the names that a query can use."""
        return {sample.name for sample in self.samples()}


async def scrape(service: Service) -> Scrape:
    """Scrape the service now."""
    async with service.http.get(service.base_url + "metrics") as response:
        assert response.status == 200
        return Scrape(await response.text())
