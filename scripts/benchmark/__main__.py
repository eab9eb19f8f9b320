"""Measures Berry beside other gateways; see benchmark.sh."""

import argparse
import resource
import sys
import tempfile
from pathlib import Path

from gateways import Stand
from measures import Bench
from report import report, write

# Enough for ten thousand streams in any gateway.
FILES = 65536


def raise_file_limit():
    """Raises the limit of open files as far as is allowed, and returns it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for wanted in ((FILES, max(FILES, hard)), (hard, hard)):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, wanted)
            return wanted[0]
        except (ValueError, OSError):
            continue
    return soft


def say(what):
    print(what, file=sys.stderr, flush=True)


def measure(stand, options):
    """Runs everything and returns the figures."""
    upstream, address = stand.helper("upstream", "--threads", str(len(stand.other_cores)))
    try:
        bench = Bench(stand, address, 0.3 if options.quick else 0.7, say)
        bench.starts(1 if options.quick else 5)
        bench.rounds(1 if options.quick else 5)
        bench.streams(1000, "paced-1000-50")
        if not options.quick:
            bench.streams(stand.most_connections(), "paced-1000-500")
            bench.scaling([10, 1000, 10000], rounds=3)
        return bench.figures
    finally:
        upstream.terminate()
        upstream.wait()


def main():
    parser = argparse.ArgumentParser(prog="benchmark.sh")
    parser.add_argument("--bin-dir", type=Path, required=True)
    parser.add_argument("--quick", action="store_true", help="one short round")
    parser.add_argument("--write", action="store_true", help="put the table into docs/performance.md")
    options = parser.parse_args()
    options.bin_dir = options.bin_dir.resolve()
    with tempfile.TemporaryDirectory() as folder:
        stand = Stand(options.bin_dir, folder, raise_file_limit())
        if not stand.other_cores:
            sys.exit("error: one core is not enough: the gateway has one of its own")
        figures = measure(stand, options)
    binary = (options.bin_dir / "berry-api").stat().st_size
    text = report(figures, binary, options.quick)
    print(text)
    if options.write:
        write(text)


if __name__ == "__main__":
    main()
