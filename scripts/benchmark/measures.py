"""What is measured: which load, and which figure is made of what it found."""

import contextlib
import json
import statistics
import subprocess
import time

from gateways import Gateway, pinned

GATEWAYS = ["nginx", "HAProxy", "bare hyper", "Berry", "Berry without ledger"]


def per_request(found):
    return found["processor_us"] / found["requests"]


def per_chunk(found):
    return found["processor_us"] / found["chunks"]


# Load → its arguments, how much longer than others it takes, and its figures.
LOADS = {
    "small": (["--model", "small", "--connections", "64"], 2, {"small": per_request}),
    "burst": (["--model", "burst-100", "--connections", "16"], 1, {"burst": per_chunk}),
    "paced": (["--model", "paced-100-20", "--connections", "100", "--spread", "0.5"], 2, {"paced": per_chunk}),
    "32 KiB": (["--request-bytes", "32768", "--connections", "16"], 1, {"request_32k": per_request}),
    "1 MiB": (["--request-bytes", "1048576", "--connections", "8"], 1, {"request_1m": per_request}),
    "64 KiB": (["--model", "large", "--connections", "16"], 1, {"response_64k": per_request}),
}
# Loads whose times are compared with those of the same load without a gateway.
AT_A_RATE = {
    "latency": (["--model", "small", "--connections", "16", "--rate", "500"], "latency_us", ["p50", "p99"]),
    "first token": (["--model", "paced-5-20", "--connections", "32", "--rate", "100"], "first_us", ["p50"]),
}
# All is measured by turns within a round, one gateway after the other in each: how fast a machine is that it shares
# changes by the second, and how long it takes to wake what sleeps by as much as a gateway adds.
TURNS = 4


class Bench:
    """Runs loads against gateways and collects the figures: figure → gateway → values, in the same order for all."""

    def __init__(self, stand, upstream, seconds, say):
        self.stand, self.upstream, self.seconds, self.say = stand, upstream, seconds, say
        self.figures = {}

    def load(self, address, arguments, seconds, processes=()):
        command = [self.stand.binaries / "berry-bench", "load", "--address", address, "--seconds", str(seconds)]
        for process in processes:
            command += ["--processor-of", str(process)]
        with pinned(self.stand.other_cores):
            done = subprocess.run([*command, *arguments], capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(done.stderr.strip())
        return json.loads(done.stdout)

    def add(self, figure, gateway, value):
        self.figures.setdefault(figure, {}).setdefault(gateway, []).append(value)

    @contextlib.contextmanager
    def running(self, *names, **options):
        """Gateways that are up and have answered."""
        gateways = []
        try:
            for name in names:
                gateways.append(Gateway(self.stand, name, self.upstream, **options))
                gateways[-1].wait_until_it_answers("small/0" if options.get("models", 1) > 1 else "small")
            yield gateways
        finally:
            for gateway in gateways:
                gateway.stop()

    def train(self):
        """All loads on Berry, for build-release.sh."""
        with self.running("Berry", "Berry without ledger") as gateways:
            for arguments, *_ in LOADS.values():
                for gateway in gateways:
                    self.load(gateway.address, arguments, self.seconds)

    def rounds(self, count, turns=TURNS):
        """All loads, one gateway after the other within each turn, so that whatever drifts drifts for all."""
        with self.running(*GATEWAYS) as gateways:
            for number in range(count):
                self.say(f"round {number + 1} of {count}")
                for arguments, longer, figures in LOADS.values():
                    for gateway in gateways * turns:
                        found = self.load(gateway.address, arguments, self.seconds / 2 * longer, gateway.processes())
                        for figure, of in figures.items():
                            self.add(figure, gateway.name, of(found))
                self.added(gateways, turns)

    def added(self, gateways, turns):
        for load, (arguments, times, quantiles) in AT_A_RATE.items():
            added = {(gateway.name, quantile): [] for gateway in gateways for quantile in quantiles}
            for _ in range(turns):
                direct = self.load(self.upstream, arguments, self.seconds)[times]
                for gateway in gateways:
                    found = self.load(gateway.address, arguments, self.seconds)[times]
                    for quantile in quantiles:
                        added[gateway.name, quantile].append(found[quantile] - direct[quantile])
            for (name, quantile), values in added.items():
                self.add(f"{load} {quantile}", name, statistics.median(values))

    def starts(self, count):
        """From the start of a process to its first answer, and what it occupies then."""
        for number in range(count):
            self.say(f"start {number + 1} of {count}")
            for name in GATEWAYS:
                began = time.perf_counter()
                with self.running(name) as [gateway]:
                    self.add("start", name, (time.perf_counter() - began) * 1000)
                    # Threads and tasks that have something to do at first have done it then.
                    time.sleep(0.5)
                    self.add("idle", name, gateway.memory("VmRSS"))

    def streams(self, count, model):
        """The most memory that so many streams at once take, of a process that has done nothing else."""
        spread = count / 4000
        arguments = ["--model", model, "--connections", str(count), "--spread", str(spread), "--warm", "1"]
        for name in GATEWAYS:
            self.say(f"{count} streams through {name}")
            with self.running(name) as [gateway]:
                # The load begins to count when content has come on all of them.
                self.load(gateway.address, arguments, 2)
                self.add(f"streams_{count}", name, gateway.memory("VmHWM"))

    def scaling(self, counts, rounds):
        """A small request's time with other numbers of cores, connections, models and users."""
        small = ["--model", "small", "--connections", "64"]
        for _ in range(rounds):
            for cores in (self.stand.gateway_cores, self.stand.two_cores):
                self.scaled(f"cores_{len(cores)}", small, cores=cores)
            for count in counts:
                # Each may need one to the provider, too.
                connections = min(count, self.stand.most_connections())
                many = ["--model", "small", "--connections", str(connections), "--warm", "1"]
                self.scaled(f"connections_{connections}", many)
                spread = [*small, "--models", str(count), "--users", str(count)]
                self.scaled(f"names_{count}", spread, ("Berry",), models=count, users=count)

    def scaled(self, figure, arguments, names=("nginx", "Berry"), **options):
        self.say(figure.replace("_", " "))
        for name in names:
            with self.running(name, **options) as [gateway]:
                found = self.load(gateway.address, arguments, self.seconds, gateway.processes())
                self.add(figure, name, per_request(found))
