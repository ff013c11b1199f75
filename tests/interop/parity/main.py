"""Runs everything of the parity tests; see parity.sh.

    python main.py AGENT RESULT [--learn]

With --learn, allowed.json is written anew: what is new in it has "?" for its reason, and is to be read, understood and explained."""

import json
import os
import pathlib
import subprocess
import sys
import time

import agents
import allowed
import cases
import deeds
import images
import room
from compare import differences, places

HERE = pathlib.Path(__file__).parent


class Both:
    """Asks both agents the same and notes what differs."""

    def __init__(self, ipa, ours, disks):
        self.agents = [(ipa, disks[0]), (ours, disks[1])]
        self.names, self.found, self.asked, self.ids = {}, [], 0, ["", ""]
        # The longest that ours took for an answer: seconds and case.
        self.slowest = (0.0, "")

    def ask(self, case, label=None):
        seen = []
        for number, (agent, disk) in enumerate(self.agents):
            target = case.target.replace("{id}", self.ids[number])
            begun = time.monotonic()
            answer = agent.ask(case.method, target, case.body, case.headers)
            if number == 1:
                self.slowest = max(self.slowest, (round(time.monotonic() - begun, 3), label or case.name))
            names = {**self.names, str(agent.port): "<port>"}
            seen.append((answer, places(answer, disk, names)))
            if answer.status == 200 and answer.body.startswith(b'{"id": '):
                self.ids[number] = json.loads(answer.body)["id"]
        self.asked += 1
        for place, theirs, ours in differences(seen[0][1], seen[1][1]):
            self.found.append((label or case.name, place, theirs, ours))
        return [json.loads(answer.body) if answer.body.startswith(b"{") else None for answer, _ in seen]

    def ask_each(self, make):
        """For requests that name something of the agent's own: `make(number)` yields them."""
        for mine, theirs in zip(make(0), make(1), strict=True):
            seen = []
            for number, (case, (agent, disk)) in enumerate(zip((mine, theirs), self.agents)):
                answer = agent.ask(case.method, case.target, case.body, case.headers)
                seen.append(places(answer, disk, self.names))
            self.asked += 1
            for place, one, other in differences(*seen):
                self.found.append((mine.name, place, one, other))


def converse(both, server):
    both.names[f"127.0.0.1:{server.http.server_port}"] = "<images>"
    versions = [None, None]
    for case in deeds.questions():
        answers = both.ask(case)
        results = [answer.get("command_result") if answer else None for answer in answers]
        if all(isinstance(result, dict) and "hardware_manager_version" in result for result in results):
            versions = [result["hardware_manager_version"] for result in results]
    # The list while all is well: IPA's breaks for good with the first wrong parameter of a synchronous command.
    both.ask(cases.Case("the list of commands", "GET", cases.with_token("/v1/commands/")))
    for case in cases.harmless():
        both.ask(case)
    both.ask_each(lambda number: deeds.steps(versions[number]))
    for case in deeds.writing(server):
        both.ask(case)
    for case in deeds.while_busy(server):
        both.ask(case)
    server.gate.set()
    for case in deeds.after_busy():
        both.ask(case)
    for case in deeds.the_end():
        both.ask(case)


def say_goodbye(program, disks, work, log, name, params):
    """What closes the API, on agents of their own. Returns the differences."""
    with agents.ipa(disks[0], log) as ipa, agents.ours(program, disks[1], work / f"state-{name}", log, "--rescue-root", work / "rescue") as ours:
        both = Both(ipa, ours, disks)
        both.ask(deeds.farewell(name, params))
        closed = [agent.closed() for agent in (ipa, ours)]
    left = [{"API closed": done} for done in closed]
    for found, etc in zip(left, (pathlib.Path("/etc"), work / "rescue/etc"), strict=True):
        for file in ("ipa-rescue-config/ipa-rescue-password", ".rescued"):
            found[file] = (etc / file).read_text() if (etc / file).exists() else "<absent>"
            (etc / file).unlink(missing_ok=True)
    both.found += [(f"after {name}", *each) for each in differences(*left)]
    return both


def measure(program, disks, work, log):
    """Start to first answer, and resident memory at rest, five times each, in turn."""
    figures = {"IPA": [], "ours": []}
    for attempt in range(5):
        with agents.ipa(disks[0], log) as ipa:
            figures["IPA"].append((ipa.ready_after, ipa.resident_kib()))
        with agents.ours(program, disks[1], work / f"state-{attempt}", log) as ours:
            figures["ours"].append((ours.ready_after, ours.resident_kib()))
    return {
        name: {"ready_seconds": sorted(round(ready, 4) for ready, _ in runs), "resident_kib": sorted(kib for _, kib in runs)}
        for name, runs in figures.items()
    }


def functional(program, work):
    """IPA's own tests against ours, and against IPA itself."""
    results = {}
    for name, environment in {"ours": {"AGENT": program}, "IPA": {}}.items():
        with open(work / f"functional-{name}", "w") as log:
            done = subprocess.run(
                [sys.executable, "-B", HERE / "functional.py"], stdout=log, stderr=log, env={**os.environ, **environment}, timeout=300
            )
        results[name] = done.returncode == 0
        if not results[name]:
            print((work / f"functional-{name}").read_text()[-4000:], file=sys.stderr)
    return results


def main(program, result, *options):
    with room.room() as (work, disks), open(pathlib.Path(result).with_suffix(".log"), "w+") as log:
        images.make(work)
        (work / "rescue/etc/ipa-rescue-config").mkdir(parents=True)
        tests = functional(program, work)
        try:
            with agents.ipa(disks[0], log) as ipa, agents.ours(program, disks[1], work / "state", log) as ours:
                both = Both(ipa, ours, disks)
                converse(both, images.Server(work))
            found, asked, slowest = both.found, both.asked, both.slowest
            for name, params in {"rescue.finalize_rescue": {"rescue_password": "$5$salt$hash", "hashed": True}, "system.lockdown": {}}.items():
                last = say_goodbye(program, disks, work, log, name, params)
                found, asked = found + last.found, asked + last.asked
            figures = measure(program, disks, work, log)
        except BaseException:
            log.seek(0)
            print(log.read()[-3000:], file=sys.stderr)
            raise
    if "--learn" in options:
        allowed.write(HERE / "allowed.json", found)
    verdict = allowed.judge(HERE / "allowed.json", found)
    summary = {"requests": asked, "functional": tests, "figures": figures, "slowest": slowest, **verdict.summary()}
    pathlib.Path(result).write_text(json.dumps(summary, indent=1) + "\n")
    verdict.tell(sys.stdout)
    print(json.dumps({key: summary[key] for key in ("requests", "functional", "figures", "slowest")}, indent=1))
    print(f"{asked} requests, {len(found)} differences, {len(verdict.unknown)} of them not allowed, {len(verdict.stale)} allowed in vain")
    return 0 if all(tests.values()) and not verdict.unknown and not verdict.stale else 1


sys.exit(main(*sys.argv[1:]))
