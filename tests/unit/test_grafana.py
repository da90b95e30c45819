"""Grafana dashboard: its JSON, compared with the metrics that there are."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orderbook
from dataflow import mapper
from orderbook.coinbase.messages import Level, Snapshot
from orderbook.feed.stats import FeedStats
from orderbook.metrics import Metrics
from orderbook.output.datasets import dataset
from orderbook.output.files import FileSink
from orderbook.output.lines import LineSink
from orderbook.shutdown import Shutdown

DASHBOARD: dict[str, Any] = json.loads(Path(orderbook.__path__[0], "grafana.json").read_text())
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]
VARIABLES: list[dict[str, Any]] = DASHBOARD["templating"]["list"]
FUNCTIONS = {"by", "histogram_quantile", "increase", "label_values", "rate", "sum", "time"}


def families() -> dict[str, set[str]]:
    """The metrics of a run with a product, each with the names of its labels; a histogram by its buckets."""
    shutdown, feed = Shutdown(), FeedStats()
    sinks = {"files": FileSink(".", "csv", shutdown, waits=False)}
    metrics = Metrics(LineSink(shutdown), {"A-B": feed}, sinks, [dataset("trades")])
    feed.live = True
    metrics.watching(mapper)(None, Snapshot("A-B", [Level(1, 1)], [Level(2, 1)]))
    names: dict[str, set[str]] = {}
    for family in metrics.collect():
        suffix = {"counter": "_total", "histogram": "_bucket"}.get(family.type, "")
        names[family.name + suffix] = {label for sample in family.samples for label in sample.labels}
    return names


def expressions() -> Iterator[str]:
    """Each expression of the panels."""
    for panel in PANELS:
        yield from (target["expr"] for target in panel["targets"])


def test_each_metric_stands_in_a_panel_and_no_other() -> None:
    """The panels ask for each metric that `/metrics` has, and for none that it has not."""
    asked = {name for text in expressions() for name in re.findall(r"\borderbook_\w+", text)}
    assert asked == set(families())


def test_labels() -> None:
    """Expressions and legends name labels that their metric has, variables that the dashboard has."""
    metrics = families()
    labels = set().union(*metrics.values()) | {"instance"}
    for panel in PANELS:
        for target in panel["targets"]:
            [name] = re.findall(r"\borderbook_\w+", target["expr"])
            words = set(re.findall(r"\w+", re.sub(r'"[^"]*"|\$\w+', "", target["expr"])))
            words = {word for word in words if not word[0].isdigit()} - FUNCTIONS - {name}
            assert words <= metrics[name], target
            assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= labels, target
    text = json.dumps(DASHBOARD)
    assert set(re.findall(r"\$\{?([a-z]\w*)", text)) == {variable["name"] for variable in VARIABLES}
    assert (
        VARIABLES[1]["definition"]
        == VARIABLES[1]["query"]["query"]
        == "label_values(orderbook_live, product)"
    )


def test_sources() -> None:
    """Each panel, query and variable asks the data source that is chosen at the top."""
    assert [(each["name"], each["type"]) for each in VARIABLES] == [
        ("datasource", "datasource"),
        ("product", "query"),
    ]
    chosen = {"type": "prometheus", "uid": "${datasource}"}
    asking = [*PANELS, *(target for panel in PANELS for target in panel["targets"]), VARIABLES[1]]
    assert all(each["datasource"] == chosen for each in asking)


def test_panels_lie_side_by_side() -> None:
    """No panel lies on another or beyond the grid's 24 columns; each has an id of its own and a title."""
    taken = set[tuple[int, int]]()
    for panel in PANELS:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {(place["x"] + i, place["y"] + j) for i in range(place["w"]) for j in range(place["h"])}
        assert not taken & cells, panel["title"]
        taken |= cells
    for key in ("id", "title"):
        assert len({panel[key] for panel in PANELS}) == len(PANELS)
