"""The figures as Markdown: all of them, what they should reach, and how they change with size."""

import datetime
import platform
import re
import statistics
import subprocess
from pathlib import Path

from measures import GATEWAYS

DOCUMENT = Path(__file__).parents[2] / "docs" / "performance.md"
BEGIN, END = "<!-- begin of the last run -->", "<!-- end of the last run -->"

# Figure → its name, its unit, and digits behind the point.
FIGURES = {
    "small": ("small request", "µs of CPU", 1),
    "latency p50": ("added latency at 500/s, p50", "µs", 0),
    "latency p99": ("added latency at 500/s, p99", "µs", 0),
    "first token p50": ("added time to the first token, p50", "µs", 0),
    "burst": ("chunk of a burst", "µs of CPU", 2),
    "paced": ("chunk each 20 ms", "µs of CPU", 1),
    "request_32k": ("32 KiB request", "µs of CPU", 1),
    "request_1m": ("1 MiB request", "µs of CPU", 0),
    "response_64k": ("64 KiB response", "µs of CPU", 1),
    "streams_1000": ("peak memory at 1,000 streams", "MiB", 1),
    "idle": ("memory when idle", "MiB", 1),
    "start": ("start to first answer", "ms", 1),
}

# Figure, what it is compared with (nothing: as it is), what it must be with everything on, and what we want it to be
# without the ledger.
TARGETS = [
    ("small", "nginx", 1.8, 1.4),
    ("small", "bare hyper", 1.45, 1.15),
    ("latency p50", "nginx", 1.3, 1.0),
    ("burst", "nginx", 1.8, 1.2),
    ("paced", "nginx", 1.3, 1.1),
    ("request_1m", "nginx", 1.5, 1.2),
    ("response_64k", "bare hyper", 1.3, 1.1),
    ("streams_1000", None, 40, 25),
    ("idle", None, 12, 8),
    ("start", None, 50, 15),
]
BINARY_MB = (20, 15)


def row(cells):
    return "| " + " | ".join(cells) + " |"


def table(head, rows):
    return "\n".join([row(head), row(["---"] * len(head)), *(row(cells) for cells in rows)])


def spread(values, digits):
    """The median, and the least and the greatest where there are several."""
    if not values:
        return "–"
    median = f"{statistics.median(values):,.{digits}f}"
    if len(values) == 1:
        return median
    return f"{median} ({min(values):,.{digits}f}–{max(values):,.{digits}f})"


def all_figures(figures, binary):
    rows = []
    for key, (name, unit, digits) in FIGURES.items():
        if key in figures:
            rows.append([f"{name}, {unit}", *(spread(figures[key].get(gateway, []), digits) for gateway in GATEWAYS)])
    for key in figures:
        if key.startswith("streams_") and key not in FIGURES:
            count = int(key.split("_")[1])
            cells = [spread(figures[key].get(gateway, []), 1) for gateway in GATEWAYS]
            rows.append([f"peak memory at {count:,} streams, MiB", *cells])
    small = figures["small"]
    carried = [f"{1e6 / statistics.median(small[gateway]):,.0f}" for gateway in GATEWAYS]
    rows.insert(1, ["small requests a second that a core carries", *carried])
    rows.append(["program, MB", "", "", "", f"{binary / 1e6:.1f}", ""])
    return table(["", *GATEWAYS], rows)


def ratios(figures, figure, gateway, base):
    """A gateway's values, as multiples of those of the same turns of what it is compared with."""
    values = figures.get(figure, {}).get(gateway, [])
    if base is None:
        return values
    return [value / other for value, other in zip(values, figures[figure][base])]


def against_targets(figures, binary):
    def verdict(value, most):
        return f"{value:.2f}".rstrip("0").rstrip(".") + (" ✓" if value <= most else " **missed**")

    rows = []
    for figure, base, must, want in TARGETS:
        name, unit, _ = FIGURES[figure]
        cells = [f"{name}, × {base}" if base else f"{name}, {unit}"]
        for gateway, most in (("Berry", must), ("Berry without ledger", want)):
            values = ratios(figures, figure, gateway, base)
            cells += [verdict(statistics.median(values), most), f"≤ {most:g}"]
        rows.append(cells)
    must, want = BINARY_MB
    size = binary / 1e6
    rows.append(["program, MB", verdict(size, must), f"≤ {must}", verdict(size, want), f"≤ {want}"])
    return table(["", "Berry", "must", "without ledger", "want"], rows)


def scaling(figures):
    def section(kind, names):
        for key in figures:
            if key.startswith(f"{kind}_"):
                count = int(key.split("_")[1])
                cells = [spread(figures[key].get(name, []), 1) for name in ("nginx", "Berry")]
                yield [f"{count:,} {names[count == 1]}", *cells]

    rows = [
        *section("cores", ("cores", "core")),
        *section("connections", ("connections", "connection")),
        *section("names", ("models and as many users", "model")),
    ]
    return table(["small request, µs of CPU", "nginx", "Berry"], rows) if rows else ""


def machine():
    text = Path("/proc/cpuinfo").read_text()
    model = re.search(r"model name\s*:\s*(.+)", text)
    cores = text.count("processor\t")
    memory = int(re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text()).group(1)) / 1024**2
    name = model.group(1) if model else platform.machine()
    return f"{name}, {cores} cores, {memory:.0f} GiB of memory, Linux {platform.release().split('-')[0]}"


def version(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    found = re.search(r"\d+\.\d+\.\d+", done.stdout + done.stderr)
    return found.group(0) if found else "of an unknown version"


def report(figures, binary, quick):
    turns, rounds = (len(figures[figure]["nginx"]) for figure in ("small", "latency p50"))
    scaled = len(figures.get("cores_1", {}).get("nginx", []))
    medians = (
        f"Medians of {turns} turns, of latencies and starts of {rounds} rounds, of scaling of {scaled} (least–greatest); "
        "peak memory is of one process each."
    )
    kind = "One short round: a look, not a figure." if quick else medians
    head = (
        f"{datetime.date.today()}. {machine()}. nginx {version('nginx', '-v')}, HAProxy {version('haproxy', '-v')}. {kind}"
    )
    parts = [head, all_figures(figures, binary), against_targets(figures, binary), scaling(figures)]
    return "\n\n".join(part for part in parts if part)


def write(text):
    """Puts the tables into the document, in place of the last run's."""
    before, rest = DOCUMENT.read_text().split(BEGIN)
    after = rest.split(END)[1]
    DOCUMENT.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")
