"""What the logs of a soak must agree to, once all has ended."""

import collections
import datetime as dt
import json
import re

# A network process that is killed takes with it the lines it had not written yet.
_UNWRITTEN = 2.0  # seconds
_TROUBLE = re.compile(r"Traceback|Unhandled|ResourceWarning|Exception ignored|[#\[]critical\]")
_ONCE = {"POST"}
# Of the log, what is shown of a site: so many seconds before and after, and so many lines at most.
_BEFORE, _AFTER, _MOST_LINES = 60, 3, 40


def access(path, verdict):
    """One line for each whole answer, and none twice; returns counts by status and by end."""
    lines = collections.Counter()
    statuses, ends = collections.Counter(), collections.Counter()
    with open(path, encoding="ascii") as file:
        for text in file:
            try:
                line = json.loads(text)
            except ValueError:
                verdict.violation(f"an access line is no JSON: {text!r}")
                continue
            statuses[str(line["status"])] += 1
            ends[line["end"]] += 1
            found = re.search(r"/n=([0-9.]+)", line["target"] or "")
            if found:
                lines[found[1]] += 1
    for nonce, times in lines.items():
        if times > 1:
            verdict.violation(f"{times} access lines for the request {nonce}")
    for nonce, (began, at) in verdict.answered.items():
        # A client that reads slowly may have got the end long after who sent it was killed.
        if not lines[nonce] and not verdict.excused("network", "", began, at + _UNWRITTEN):
            verdict.violation(f"no access line for the request {nonce}, {verdict.when(began, at)}")
    return statuses, ends


def apps(path, verdict):
    """No app saw a POST twice, nor any request three times; returns how many were seen."""
    seen = collections.Counter()
    with open(path, encoding="ascii", errors="replace") as file:
        for text in file:
            line = json.loads(text)
            if line["event"] == "head" and line["nonce"]:  # Luisito's own questions have none
                seen[line["nonce"], line["method"]] += 1
            elif line["event"] == "malformed":
                verdict.violation(f"an app got what is no strict HTTP: {line}")
    for (nonce, method), times in seen.items():
        if times > (1 if method in _ONCE else 2):
            verdict.violation(f"apps saw {method} {nonce} {times} times")
    return seen.total()


def log(path, verdict):
    """No traceback; returns counts of starts, evictions and what ended network processes."""
    counts = collections.Counter()
    kinds = {
        "spawns": re.compile(r": started as pid \d+"),
        "forked by preloaded interpreters": re.compile(r"forked by a preloaded interpreter"),
        "which could not": re.compile(r"by itself: its preloaded interpreter"),
        "as it was stale": re.compile(r"by itself: its preloaded interpreter.*stale"),
        "frozen": re.compile(r"is frozen until the next request"),
        "evictions": re.compile(r"room was needed for"),
        "idle stops": re.compile(r"\(IDLE_TIMEOUT\)"),
    }
    with open(path, encoding="utf-8", errors="replace") as file:
        for line in file:
            if _TROUBLE.search(line):
                verdict.violation(f"in the log: {line.rstrip()}")
            for name, pattern in kinds.items():
                counts[name] += bool(pattern.search(line))
    return counts


def around(path, words, moment):
    """What the log says of the site that a violation names, in the time before it and just after.

    Args:
        path: of the log.
        words: of the violation.
        moment: when it was seen, in seconds since the epoch.

    Returns:
        The lines, the last ones where there are many; [] where no site is named.
    """
    found = re.search(r"\bs\d+\.soak\.localhost", words)
    if found is None:
        return []
    with open(path, encoding="utf-8", errors="replace") as file:
        lines = [line.rstrip() for line in file if found[0] in line]
    near = [line for line in lines if -_BEFORE <= _time_of(line) - moment <= _AFTER]
    return near[-_MOST_LINES:]


def _time_of(line):
    """Seconds since the epoch; 0 where a line has no time."""
    try:
        return dt.datetime.strptime(line.partition(" ")[0], "%Y-%m-%dT%H:%M:%S%z").timestamp()
    except ValueError:
        return 0.0


def flat(rows, verdict, allowed):
    """Memory and descriptors do not grow after the warm-up.

    Args:
        rows: of Watch.
        verdict: who is told.
        allowed: {name of a column: by how much its median may grow from the second third on}.
    """
    third = len(rows) // 3
    if third < 3:
        return
    for name, growth in allowed.items():
        before = sorted(row[name] for row in rows[third : 2 * third])[third // 2]
        after = sorted(row[name] for row in rows[-third:])[third // 2]
        if after > before + growth:
            verdict.violation(f"{name} grows: {before:.1f} in the middle third, {after:.1f} after")
