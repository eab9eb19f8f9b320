"""Measures Berry beside other gateways; see benchmark.sh."""

import argparse
import contextlib
import json
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


@contextlib.contextmanager
def provider(stand):
    """The address of a provider that runs meanwhile."""
    process, address = stand.helper("upstream", "--threads", str(len(stand.other_cores)))
    try:
        yield address
    finally:
        process.terminate()
        process.wait()


def measure(bench, options):
    if options.quick:
        bench.rounds(1, turns=1)
    else:
        bench.rounds(5)
    bench.starts(1 if options.quick else 5)
    bench.streams(1000, "paced-1000-50")
    if not options.quick:
        # So slow that chunks leave a gateway time for memory to be what is measured.
        bench.streams(bench.stand.most_connections(), "paced-1000-2000")
        bench.scaling([10, 1000, 10000], rounds=3)


def main():
    parser = argparse.ArgumentParser(prog="benchmark.sh", allow_abbrev=False)
    parser.add_argument("--bin-dir", type=Path, required=True)
    parser.add_argument("--gateway", type=Path, help="Berry, where that is elsewhere")
    parser.add_argument("--quick", action="store_true", help="one short round")
    parser.add_argument("--train", action="store_true", help="only put Berry to work; nothing is measured")
    parser.add_argument("--write", action="store_true", help="put the table into docs/performance.md")
    options = parser.parse_args()
    options.bin_dir = options.bin_dir.resolve()
    berry = (options.gateway or options.bin_dir / "berry-api").resolve()
    with tempfile.TemporaryDirectory() as folder:
        stand = Stand(options.bin_dir, berry, folder, raise_file_limit())
        if not stand.other_cores:
            sys.exit("error: one core is not enough: the gateway has one of its own")
        with provider(stand) as address:
            bench = Bench(stand, address, 0.3 if options.quick else 0.7, say)
            if options.train:
                return bench.train()
            try:
                measure(bench, options)
            except RuntimeError as error:
                # What took minutes to find is worth a look all the same.
                print(json.dumps(bench.figures, indent=2))
                sys.exit(f"error: {error}")
    binary = berry.stat().st_size
    text = report(bench.figures, binary, options.quick)
    print(text)
    if options.write:
        write(text)


if __name__ == "__main__":
    main()
