#!/usr/bin/env python3
"""CPU time per command of fake-redis beside Debian's redis-server, and how late delayed replies leave.

Both servers run on this machine, on free ports; redis-benchmark loads them in turn. The figure is the CPU time of the
server process (its kernel clock, in nanoseconds) divided by the number of commands. Wall-clock rates are not shown: on
a machine of few cores they say more about the client. Needs redis-server and redis-benchmark (Debian: `apt install
redis-server redis-tools`) and nothing beyond Python's standard library.
"""

import argparse
import os
import select
import socket
import statistics
import subprocess
import sys
import tempfile
import time

# Name shown, redis-benchmark's test, further arguments. 1 KiB is the value of the suite's scenarios.
LOADS = [
    ("ping", "ping_mbulk", []),
    ("set", "set", []),
    ("get", "get", []),
    ("incr", "incr", []),
    ("set 1 KiB", "set", ["-d", "1024"]),
    ("get 1 KiB", "get", ["-d", "1024"]),
]
SHAPES = [("50 connections", ["-c", "50"]), ("-P 16", ["-c", "50", "-P", "16"]), ("2000 connections", ["-c", "2000"])]

# How late delayed replies may be on a quiet machine. Other machines are noisy, so the exit code does not depend on it.
GOAL_P99_US = 200

# A turn of the load program's loop takes some tens of microseconds; one longer than this was interrupted.
STOP_SECONDS = 200e-6


def cpu_seconds(pid):
    """The kernel's CPU clock of a process: user and system, in nanoseconds."""
    return time.clock_gettime_ns((~pid << 3) | 2) / 1e9


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def wait_for(port, process):
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if process.poll() is not None:
            sys.exit(f"the server on port {port} ended with code {process.returncode}")
        try:
            return socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.02)
    sys.exit(f"nothing answers on port {port}")


class Server:
    def __init__(self, name, command, port):
        self.name, self.port = name, port
        try:
            self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=tempfile.gettempdir())
        except FileNotFoundError as error:
            sys.exit(f"{error}: build it (cargo build --release --workspace --bins) or install it")
        wait_for(port, self.process)

    def stop(self):
        self.process.terminate()
        self.process.wait(10)

    def cost_us(self, requests, test, arguments):
        """CPU time per command under one run of redis-benchmark."""
        command = ["redis-benchmark", "-p", str(self.port), "-q", "-n", str(requests), "-t", test, *arguments]
        before = cpu_seconds(self.process.pid)
        subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
        return (cpu_seconds(self.process.pid) - before) * 1e6 / requests

    def call(self, *words):
        """One command through redis-cli; its reply as text."""
        command = ["redis-cli", "-p", str(self.port), *words]
        return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


def start_redis():
    port = free_port()
    # Warnings about the machine's settings go to the log, not between the lines of the table.
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    return Server("redis-server", [*command, "--io-threads", "1", "--loglevel", "warning"], port)


def start_fake(binary):
    port = free_port()
    return Server("fake-redis", [binary, "--listen", f"127.0.0.1:{port}"], port)


def compare(fake, redis, requests, rounds):
    width = max(len(f"{name}, {shape}") for name, _, _ in LOADS for shape, _ in SHAPES)
    print(f"CPU µs per command, median of {rounds} rounds of {requests} commands\n")
    print(f"{'load':{width}}  {'fake-redis':>10}  {'redis-server':>12}  {'ratio':>5}")
    for shape, shape_arguments in SHAPES:
        for name, test, arguments in LOADS:
            costs = {fake: [], redis: []}
            for turn in range(rounds):
                # The order alternates, so that neither always runs on a machine the other has warmed up.
                for server in (fake, redis) if turn % 2 == 0 else (redis, fake):
                    costs[server].append(server.cost_us(requests, test, [*shape_arguments, *arguments]))
            ours, theirs = statistics.median(costs[fake]), statistics.median(costs[redis])
            print(f"{f'{name}, {shape}':{width}}  {ours:10.2f}  {theirs:12.2f}  {ours / theirs:5.2f}", flush=True)


def delays(fake, rate, seconds):
    """Commands at a constant rate over 100 connections. How late the replies left is the server's own account.

    One thread that never sleeps sends and receives: bursts, which sleeping threads would make, are due as bursts too.
    """
    fake.call("config", "set", "delay", "get=20ms")
    fake.call("config", "resetstat")
    sockets = [socket.create_connection(("127.0.0.1", fake.port)) for _ in range(100)]
    poller = select.epoll()
    for one in sockets:
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        poller.register(one, select.EPOLLIN)
    by_descriptor = {one.fileno(): one for one in sockets}
    count, sent, missing = rate * seconds, 0, rate * seconds
    stops, looked = [], time.monotonic()
    start, before = time.monotonic(), cpu_seconds(fake.process.pid)
    while missing > 0:
        last, looked = looked, time.monotonic()
        if looked - last > STOP_SECONDS:
            stops.append(looked - last)
        if sent < count and time.monotonic() >= start + sent / rate:
            sockets[sent % len(sockets)].send(b"*2\r\n$3\r\nGET\r\n$5\r\nnokey\r\n")
            sent += 1
            took = time.monotonic() - start
        for descriptor, _ in poller.poll(0):
            missing -= len(by_descriptor[descriptor].recv(65536)) // len(b"$-1\r\n")
    cost = (cpu_seconds(fake.process.pid) - before) * 1e6 / count
    line = next(line for line in fake.call("info", "delays").splitlines() if line.startswith("delay_get:"))
    fake.call("config", "set", "delay", "")
    print(f"\nGET delayed by 20 ms, {count / took:.0f} commands/s over 100 connections, {cost:.1f} CPU µs per command")
    print(line)
    p99 = int(line.split("late_us_p99=")[1].split(",")[0])
    verdict = "PASS" if p99 <= GOAL_P99_US else "FAIL"
    print(f"{verdict}: 99 of 100 replies left within {p99} µs of their time; the goal is {GOAL_P99_US} µs.")
    print(f"The machine stopped this program {len(stops)} times for more than {STOP_SECONDS * 1e6:.0f} µs,"
          f" {sum(stops) * 1e3:.0f} ms in all: on a quiet machine, hardly ever.")


def main():
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    target = os.environ.get("CARGO_TARGET_DIR", os.path.join(root, "target"))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fake", default=os.path.join(target, "release", "fake-redis"), help="the binary")
    parser.add_argument("--requests", type=int, default=100_000, help="commands of one run")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each load against each server")
    parser.add_argument("--delays", action="store_true", help="only the lateness of delayed replies")
    arguments = parser.parse_args()
    fake = start_fake(arguments.fake)
    try:
        if not arguments.delays:
            redis = start_redis()
            try:
                compare(fake, redis, arguments.requests, arguments.rounds)
            finally:
                redis.stop()
        delays(fake, 10_000, 5)
    finally:
        fake.stop()


if __name__ == "__main__":
    main()
