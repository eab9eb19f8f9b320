"""The gateways: how each is configured and started, on which cores, and which processes it consists of."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

# What the load sends as its first user; every gateway checks it.
TOKEN = "token-of-user-000000-bench"
# What a gateway has open besides connections, generously.
FILES_OF_A_GATEWAY = 200
# Longer than any of them takes on a machine that is busy with other things.
START_SECONDS = 30
MODELS = ["small", "large", "burst-100", "paced-5-20", "paced-100-20", "paced-1000-50", "paced-1000-2000"]

NGINX = """
worker_processes {cores};
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log crit;
# Its worker closes idle ones when but a sixteenth is left.
events {{ worker_connections 22000; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    client_max_body_size 64m;
    client_body_buffer_size 2m;
    keepalive_requests 1000000000;
    upstream provider {{ server {upstream}; keepalive {connections}; keepalive_requests 1000000000; }}
    server {{
        listen {address} backlog=16384;
        location / {{
            if ($http_authorization != "Bearer {token}") {{ return 401; }}
            proxy_pass http://provider;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering off;
        }}
    }}
}}
"""

HAPROXY = """
global
    nbthread {cores}
    maxconn {connections}
defaults
    mode http
    timeout connect 5s
    timeout client 75s
    timeout server 75s
    option http-no-delay
frontend clients
    bind {address} backlog 16384
    http-request deny deny_status 401 unless {{ req.hdr(authorization) -m str "Bearer {token}" }}
    default_backend provider
backend provider
    http-reuse always
    server provider {upstream}
"""

# A machine that is busy with other things may leave ten thousand streams silent for longer than the usual 15 seconds,
# and a comment is nothing that the load expects.
SETTINGS = """
[settings]
health_check_interval_seconds = 0
stream_keepalive_seconds = 300
"""

PROVIDER = """
[providers.bench]
base_url = "http://{upstream}"
api_key = "key-of-the-provider"
proxy_url = "none"
"""

# Every limit there is, and none that is reached.
USER = """
[users.u{number}]
token = "token-of-user-{number:06}-bench"
[users.u{number}.rate_limit]
requests_per_minute = 4000000000
requests_per_hour = 4000000000
requests_per_day = 4000000000
tokens_per_minute = 4000000000
max_concurrent_requests = 4000000000
"""


def berry_configuration(upstream, ledger, models, users):
    """Configures Berry; with more than one model these are `small/0`, `small/1` and so on."""
    text = [SETTINGS, PROVIDER.format(upstream=upstream)]
    if ledger:
        text.append(f'[usage]\ndatabase = "{ledger}"\n')
    names = MODELS if models == 1 else [f"small/{number}" for number in range(models)]
    for number, name in enumerate(names):
        text.append(
            f'[models.m{number}]\nname = "{name}"\n[[models.m{number}.backends]]\nprovider = "bench"\nmodel = "{name}"\n'
        )
    text += [USER.format(number=number) for number in range(users)]
    return "\n".join(text)


@contextlib.contextmanager
def pinned(cores):
    """What is started within runs on these cores only."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Stand:
    """Where it all runs: binaries, a folder, files that may be open, the gateway's cores and those of the rest."""

    def __init__(self, binaries, berry, folder, files):
        self.binaries, self.berry, self.folder, self.files = binaries, berry, Path(folder), files
        cores = sorted(os.sched_getaffinity(0))
        self.gateway_cores, self.other_cores = set(cores[:1]), set(cores[1:])
        self.two_cores = set(cores[:2])
        self.started = 0
        # nginx's worker, which is nobody, keeps its temporary files there.
        self.folder.chmod(0o755)

    def most_connections(self):
        """How many connections, up to ten thousand, leave a gateway files for itself: each takes two."""
        return min(10_000, (self.files - FILES_OF_A_GATEWAY) // 2)

    def helper(self, *arguments):
        """Starts one of our own servers, and returns its process and address."""
        with pinned(self.other_cores):
            process = subprocess.Popen([self.binaries / "berry-bench", *arguments], stdout=subprocess.PIPE, text=True)
        return process, process.stdout.readline().split("http://")[1].strip()


class Gateway:
    """One running gateway."""

    def __init__(self, stand, name, upstream, cores=None, models=1, users=1):
        self.name, self.cores = name, cores or stand.gateway_cores
        stand.started += 1
        self.folder = stand.folder / f"{stand.started}"
        self.folder.mkdir(mode=0o777)
        self.folder.chmod(0o777)
        # Not beside the configuration, whose folder Berry watches.
        self.written = self.folder / "written"
        self.written.mkdir()
        self.address = f"127.0.0.1:{free_port()}"
        command, environment = self.command(stand, upstream, models, users)
        output = (self.written / "output").open("wb")
        with pinned(self.cores):
            self.process = subprocess.Popen(
                command, env=os.environ | environment, cwd=self.folder, stdout=output, stderr=output
            )
        output.close()

    def command(self, stand, upstream, models, users):
        if self.name == "bare hyper":
            return [stand.binaries / "berry-bench", "passthrough", "--listen", self.address, "--to", upstream], {}
        if self.name in ("nginx", "HAProxy"):
            file = self.folder / "proxy.conf"
            text = NGINX if self.name == "nginx" else HAPROXY
            known = {"folder": self.folder, "cores": len(self.cores), "connections": stand.most_connections()}
            known |= {"upstream": upstream, "address": self.address, "token": TOKEN}
            file.write_text(text.format(**known))
            return ["nginx", "-c", file] if self.name == "nginx" else ["haproxy", "-db", "-f", file], {}
        file = self.folder / "config.toml"
        file.touch(mode=0o600)
        ledger = self.written / "usage.db" if self.name == "Berry" else None
        file.write_text(berry_configuration(upstream, ledger, models, users))
        # The output is the access log.
        environment = {"BIND_ADDRESS": self.address, "MAX_CONNECTIONS": "20000", "LOG_FORMAT": "json", "RUST_LOG": "info"}
        return [stand.berry, "--config", file], environment

    def processes(self):
        """The processes that serve: of nginx the workers."""
        if self.name != "nginx":
            return [self.process.pid]
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [int(child) for child in children]

    def memory(self, field):
        """`VmRSS` or `VmHWM`, in MiB."""
        status = [Path(f"/proc/{pid}/status").read_text() for pid in self.processes()]
        return sum(int(re.search(rf"{field}:\s+(\d+)", text).group(1)) for text in status) / 1024

    def wait_until_it_answers(self, model="small"):
        """Asks until the first answer, without a pause worth mentioning."""
        body = f'{{"model":"{model}","messages":[{{"role":"user","content":"Hello!"}}]}}'
        request = (
            f"POST /v1/chat/completions HTTP/1.1\r\nhost: {self.address}\r\nauthorization: Bearer {TOKEN}\r\n"
            f"content-type: application/json\r\nconnection: close\r\ncontent-length: {len(body)}\r\n\r\n{body}"
        ).encode()
        host, port = self.address.split(":")
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until and self.process.poll() is None:
            try:
                with socket.create_connection((host, int(port)), timeout=5) as connection:
                    connection.sendall(request)
                    if connection.recv(4096).startswith(b"HTTP/1.1 200"):
                        return
            except OSError:
                pass
            time.sleep(0.0002)
        raise RuntimeError(f"{self.name} does not answer:\n{(self.written / 'output').read_text()[-2000:]}")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
