"""The stacks that are compared: how each is built, started and named."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from measuring import ROOT, Skipped, build, compilers, need, output_of  # noqa: E402

PEERS = ROOT / "bench" / "peak" / "peers"
BUILT = ROOT / "build" / "peak"
# What all are told: the limiter shall never be the reason for a refusal, and may be killed as often as a scenario wants.
COMMON = {"LIMIT": "1000000000", "MAX_RESTARTS": "1000000"}


class Stack:
    """A server that answers the routes. `routes` names the only ones, where not all; `critical` those that have to answer at any load."""
    key = title = ""
    routes = None
    critical = ("/health",)
    notes = ()

    def __init__(self):
        self.version = "unknown"

    def prepare(self):
        """Builds it. Raises Skipped, saying what is missing, where that cannot be."""

    def command(self, workers):
        """The program for that many workers, and the environment that it needs beside COMMON and PORT."""
        raise NotImplementedError

    def refused(self, _port):
        """How many requests its server has turned away so far."""
        return 0


class Genever(Stack):
    key, title = "genever", "Genever"
    critical = ("/health", "/tree", "/admission")
    notes = ("the showcase, with `GENEVER_LOG=warning`: no access log (no other stack here writes one), crash reports on",)

    def __init__(self, binary):
        super().__init__()
        self.binary = binary

    def prepare(self):
        if not os.access(self.binary, os.X_OK):
            raise Skipped(f"{self.binary} is not there: build the target showcase")
        commit = output_of("git", "describe", "--always", "--dirty", "--abbrev=12") or "unknown"
        self.version = f"{commit}, {compilers(self.binary)}"

    def command(self, workers):
        return [self.binary], {"GENEVER_WORKERS": str(workers), "GENEVER_LOG": "warning"}

    def refused(self, port):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/admission", timeout=5) as answer:
            counted = json.load(answer)["refused"]
        return sum(counted[why] for why in ("queue_delay", "sheddable", "share", "concurrency", "reserved"))


class BareEpoll(Stack):
    key, title = "bare_epoll", "bare epoll"
    routes = {"/ping"}
    notes = ("a canned answer to whatever ends in an empty line, on one thread: the floor, no server",)

    def __init__(self, binary):
        super().__init__()
        self.binary = binary

    def prepare(self):
        if not os.access(self.binary, os.X_OK):
            raise Skipped(f"{self.binary} is not there: build the target bare_epoll")
        self.version = compilers(self.binary)

    def command(self, workers):
        return [self.binary], {}


class Gin(Stack):
    key, title = "gin", "Gin"
    notes = ("release mode, `gin.New()` with `gin.Recovery()`, GOMAXPROCS set to the number of cores",)

    def prepare(self):
        need("go", "golang-go, 1.25 or later, which Debian 12 does not have: go.dev/dl")
        build_go("the Gin peer", PEERS / "gin", BUILT / "gin", ".")
        gin = re.search(r"gin-gonic/gin (v\S+)", (PEERS / "gin" / "go.mod").read_text()).group(1)
        self.version = f"{gin}, {output_of('go', 'env', 'GOVERSION')}"

    def command(self, workers):
        return [BUILT / "gin"], {"GOMAXPROCS": str(workers)}


class Otp(Stack):
    key, title = "otp", "OTP alone"
    notes = ("a supervised process a connection over `gen_tcp`, `erlang:decode_packet` and jiffy; schedulers as many as "
             "cores, and told not to spin while they wait (`+sbwt none`), so that waiting does not count as work",
             "a handler that crashes is answered with 500 and ends its connection's process, as in Bandit",
             "there is no call that blocks a scheduler: its blocking hogs sleep on a timer")

    def prepare(self):
        need("erl", "erlang-base")
        need("erlc", "erlang-base")
        jiffy = output_of("erl", "-noshell", "-eval", 'io:format("~s", [code:lib_dir(jiffy)]), halt().')
        if not pathlib.Path(jiffy).is_dir():
            raise Skipped("Erlang's JSON library jiffy is not there (Debian's erlang-jiffy)")
        folder = BUILT / "otp"
        folder.mkdir(parents=True, exist_ok=True)
        build("the OTP peer", "erlc", "-Werror", "-o", folder, *sorted((PEERS / "otp").glob("*.erl")))
        shutil.copy(PEERS / "otp" / "peak.app", folder)
        said = output_of("erl", "-noshell", "-eval",
                         'io:format("OTP ~s, ERTS ~s, ~s", [erlang:system_info(otp_release), '
                         'erlang:system_info(version), erlang:system_info(emu_flavor)]), halt().')
        if not said.endswith("jit"):
            raise Skipped(f"this erl has no JIT ({said}): not a fair peer")
        self.version = f"{said}, {pathlib.Path(jiffy).name}"

    def command(self, workers):
        return ["erl", "+S", f"{workers}:{workers}", "+sbwt", "none", "+sbwtdcpu", "none", "+sbwtdio", "none",
                "-noshell", "-pa", BUILT / "otp", "-s", "peak_app", "start"], {"ERL_CRASH_DUMP_BYTES": "0"}


class Phoenix(Stack):
    key, title = "phoenix", "Phoenix"
    notes = ("Phoenix on Bandit, a production release, `+sbwt none` as for OTP alone",)

    def prepare(self):
        need("mix", "elixir, 1.15 or later: Debian 12's is 1.14")
        version = re.search(r"Elixir (\d+)\.(\d+)\S*", output_of("elixir", "--version"))
        if not version or (int(version.group(1)), int(version.group(2))) < (1, 15):
            found = version.group(0) if version else "an unknown Elixir"
            raise Skipped(f"Phoenix 1.8 needs Elixir 1.15 or later, here is {found}")
        env = {**os.environ, "MIX_ENV": "prod", "MIX_BUILD_PATH": str(BUILT / "phoenix"),
               "MIX_DEPS_PATH": str(BUILT / "phoenix-deps")}
        folder = PEERS / "phoenix"
        for step in (["mix", "local.hex", "--force", "--if-missing"], ["mix", "local.rebar", "--force", "--if-missing"],
                     ["mix", "deps.get", "--only", "prod"], ["mix", "release", "--overwrite"]):
            try:
                done = subprocess.run(step, cwd=folder, env=env, capture_output=True, text=True, timeout=300,
                                      stdin=subprocess.DEVNULL, check=False)
            except subprocess.TimeoutExpired:
                raise Skipped(f"`{' '.join(step)}` takes more than 5 minutes: is the package registry reachable?") from None
            if done.returncode != 0:
                last = (done.stdout + done.stderr).strip().splitlines()[-1:]
                raise Skipped(f"`{' '.join(step)}` fails: {' '.join(last)}")
        lock = (folder / "mix.lock").read_text()
        versions = {name: re.search(rf'"{name}": {{:hex, :{name}, "([^"]+)"', lock) for name in ("phoenix", "bandit")}
        self.version = ", ".join([f"{name} {found.group(1)}" for name, found in versions.items() if found] +
                                 [version.group(0)])

    def command(self, workers):
        flags = f"+S {workers}:{workers} +sbwt none +sbwtdcpu none +sbwtdio none"
        return [BUILT / "phoenix" / "rel" / "peak" / "bin" / "peak", "start"], {
            "ERL_FLAGS": flags, "RELEASE_DISTRIBUTION": "none", "MIX_ENV": "prod"}


def build_go(what, folder, output, package):
    """Builds a Go module's program with the toolchain that is there."""
    env = {"GOTOOLCHAIN": "local", "GOFLAGS": "-mod=readonly -buildvcs=false"}
    BUILT.mkdir(parents=True, exist_ok=True)
    build(what, "env", *[f"{name}={value}" for name, value in env.items()], "go", "build", "-o", output, package,
          cwd=folder)


def all_stacks(options):
    return [Genever(options.showcase), BareEpoll(options.bare), Gin(), Otp(), Phoenix()]
