"""That all stacks answer alike, asked before anything is timed.

Alike are the status, the media type, and the content: JSON as its value and its length (no stack shall save bytes),
anything else byte for byte. Not compared are the other fields, and the framing, which each server chooses for itself.
"""

import http.client
import json
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from measuring import Invalid  # noqa: E402
from serving import serving  # noqa: E402

ANSWER_LIMIT = 15
LIMITER_FIELDS = ("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset")
WORK_US = 200_000
# How far the CPU time of /work may be from what it was asked to burn.
WORK_TOLERANCE = 0.25


def make_order():
    """An order of 4 KB, as compact JSON. Only whole numbers, and no character that an encoder may escape or not."""
    order = {
        "id": "ord-2026-0000042",
        "customer": {"name": "Ada Lovelace", "email": "ada@example.org", "street": "12 St James Square",
                     "city": "London", "country": "GB"},
        "lines": [{"sku": f"SKU-{number:05d}", "title": f"Article number {number} of the catalogue, in a box",
                   "quantity": number % 7 + 1, "cents": 995 + 100 * number} for number in range(36)],
        "notes": "",
        "express": True,
    }
    missing = 4096 - len(json.dumps(order, separators=(",", ":")))
    order["notes"] = ("Please ring twice. " * 40)[:missing]
    return json.dumps(order, separators=(",", ":"))


ORDER = make_order()

# method, path, body
QUESTIONS = [
    ("GET", "/ping", None),
    ("GET", "/health", None),
    ("GET", "/plaintext", None),
    ("GET", "/users/42/posts/first-post", None),
    ("GET", "/users/a%20b/posts/%C3%A9", None),
    ("POST", "/orders", ORDER),
    ("GET", "/work?us=100", None),
    ("GET", "/wait?ms=5", None),
    ("GET", "/pool", None),
    ("GET", "/hog?ms=5&how=burn", None),
    ("GET", "/hog?ms=5&how=block", None),
    ("GET", "/limited", None),
    ("POST", "/limited/kill", None),
]
# method, path, body, what all statuses are
STATUSES = [
    ("GET", "/panic", None, {500}),
    ("GET", "/no-such-page", None, {404}),
    ("GET", "/work?us=x", None, {400}),
    ("GET", "/wait?ms=60001", None, {400}),
    ("POST", "/orders", "{", {400}),
    ("POST", "/orders", '{"id":1}', {400, 422}),  # Gin's users answer 400, where RFC 9110 has 422 as well
]


def ask(connection, method, path, body):
    fields = {"Content-Type": "application/json"} if body is not None else {}
    connection.request(method, path, body=body, headers=fields)
    response = connection.getresponse()
    return response, response.read()


def content(response, body):
    """What must be the same."""
    kind = (response.getheader("Content-Type") or "").split(";")[0].strip().lower()
    if response.status == 204:
        return response.status, "", ""
    if kind == "application/json":
        try:
            return response.status, kind, (json.loads(body), len(body))
        except ValueError:
            return response.status, kind, ("not JSON", body)
    return response.status, kind, body


def answers(bench, stack):
    """What a stack answers, by question; asked twice over one connection."""
    found = {}
    with serving(bench, stack) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=ANSWER_LIMIT)
        try:
            for method, path, body in QUESTIONS:
                if stack.routes and path not in stack.routes:
                    continue
                for _ in range(2 if method == "GET" else 1):
                    response, data = ask(connection, method, path, body)
                    if not response.getheader("Date"):
                        raise Invalid(f"{stack.title}: no Date in the answer to {method} {path}")
                    told = content(response, data)
                    if path == "/limited":
                        missing = [name for name in LIMITER_FIELDS if not (response.getheader(name) or "").isdigit()]
                        if missing:
                            raise Invalid(f"{stack.title}: /limited answers without {', '.join(missing)}")
                    if found.setdefault((method, path), told) != told:
                        raise Invalid(f"{stack.title} answers {method} {path} once so, then so: {found[method, path]}, {told}")
            if stack.routes is None:
                check_statuses(server, stack)
                check_work(server, stack, connection)
        except (OSError, http.client.HTTPException) as problem:
            raise Invalid(f"{stack.title}: {problem!r}: {server.tail()}") from None
        finally:
            connection.close()
    return found


def check_statuses(server, stack):
    for method, path, body, allowed in STATUSES:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=ANSWER_LIMIT)
        response, _ = ask(connection, method, path, body)
        connection.close()
        if response.status not in allowed:
            raise Invalid(f"{stack.title} answers {method} {path} with {response.status}, not {sorted(allowed)}")


def check_work(server, stack, connection):
    """What /work burns is CPU, and as much as it was asked for; the least of three, since others may disturb."""
    burnt = []
    for _ in range(3):
        before, began = server.cpu_ns(), time.monotonic()
        ask(connection, "GET", f"/work?us={WORK_US}", None)
        burnt.append((server.cpu_ns() - before) / 1e3)
        if time.monotonic() - began < WORK_US / 1e6 * (1 - WORK_TOLERANCE):
            raise Invalid(f"{stack.title}: /work?us={WORK_US} is back too soon")
    if not 1 - WORK_TOLERANCE < min(burnt) / WORK_US < 1 + WORK_TOLERANCE:
        raise Invalid(f"{stack.title}: /work?us={WORK_US} burns {min(burnt):.0f} us")


def check_alike(bench, stacks):
    """Raises Invalid unless all that know a route answer it as the first one does."""
    reference, first = {}, {}
    for stack in stacks:
        for question, told in answers(bench, stack).items():
            first.setdefault(question, stack)
            if reference.setdefault(question, told) != told:
                raise Invalid(f"{stack.title} and {first[question].title} answer {' '.join(question)} differently:\n"
                              f"  {told}\n  {reference[question]}")
    return len(reference)
