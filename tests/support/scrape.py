"""Scrape of a run's own endpoint for Prometheus."""

import urllib.request

from prometheus_client.parser import text_string_to_metric_families

from tests.support.waiting import DEADLINE

Samples = dict[tuple[str, ...], float]


def samples(text: str) -> Samples:
    """The values of our metrics by name and labels, those in alphabetical order of what they are called."""
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name.startswith("orderbook_")
    }


def scrape(port: int) -> Samples:
    """What `/metrics` on this port shows of our metrics."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=DEADLINE) as response:
        return samples(response.read().decode())
