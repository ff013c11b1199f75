"""The differences that are meant, each with its reason: allowed.json. Both values are pinned, so that any change of our agent's
answers is seen; what is allowed and does not occur is an error, too."""

import collections
import json
from dataclasses import dataclass, field

# Longer values are pinned by their beginning and their length.
LONGEST = 300


@dataclass
class Verdict:
    reasons: dict = field(default_factory=collections.Counter)
    unknown: list = field(default_factory=list)
    stale: list = field(default_factory=list)

    def summary(self):
        return {"differences": dict(self.reasons), "unknown": self.unknown, "stale": self.stale}

    def tell(self, out):
        for case, place, theirs, ours in self.unknown:
            print(f"DIFFERS {case}\n  {place}\n    IPA : {theirs!r}\n    ours: {ours!r}", file=out)
        for entry in self.stale:
            print(f"NO LONGER DIFFERS {entry}", file=out)


def pinned(value):
    if isinstance(value, str) and len(value) > LONGEST:
        return f"{value[:LONGEST]}… ({len(value)} characters)"
    return value


def key(place, theirs, ours):
    return place, json.dumps(pinned(theirs)), json.dumps(pinned(ours))


def judge(path, found):
    """Each difference has to be one of a reason's, in one of its cases; `cases = "*"` only where place and both values say all."""
    meant, unused = {}, set()
    for reason in json.loads(path.read_text()):
        for place, theirs, ours, cases in reason["differences"]:
            for case in cases_of((place, theirs, ours, cases)):
                entry = (case, place, json.dumps(theirs), json.dumps(ours))
                meant[entry] = reason["why"]
                unused.add(entry)
    verdict = Verdict()
    for case, place, theirs, ours in found:
        exact = key(place, theirs, ours)
        entry = next((each for each in ((case, *exact), ("*", *exact)) if each in meant), None)
        if entry is None:
            verdict.unknown.append((case, place, theirs, ours))
        else:
            verdict.reasons[meant[entry]] += 1
            unused.discard(entry)
    verdict.stale = sorted(unused)
    return verdict


def write(path, found):
    """`path` anew: what is allowed still and occurs, and what is unknown, with "?" for its reason."""
    reasons = json.loads(path.read_text()) if path.exists() else []
    known = {(case, each[0], json.dumps(each[1]), json.dumps(each[2])): reason["why"] for reason in reasons for each in reason["differences"] for case in cases_of(each)}
    everywhere = {entry[1:]: why for entry, why in known.items() if entry[0] == "*"}
    table = {reason["why"]: {} for reason in reasons}
    for case, place, theirs, ours in found:
        exact = key(place, theirs, ours)
        why = known.get((case, *exact)) or everywhere.get(exact) or "?"
        entry = table.setdefault(why, {}).setdefault(exact, [])
        entry.append("*" if exact in everywhere else case)
    with open(path, "w") as file:
        file.write("[\n")
        blocks = []
        for why, entries in table.items():
            rows = ",\n".join(f"   [{json.dumps(place)}, {theirs}, {ours}, {json.dumps(compact(cases))}]" for (place, theirs, ours), cases in entries.items())
            blocks.append(f' {{"why": {json.dumps(why)},\n  "differences": [\n{rows}\n  ]}}')
        file.write(",\n".join(blocks) + "\n]\n")


def cases_of(entry):
    return entry[3] if isinstance(entry[3], list) else [entry[3]]


def compact(cases):
    return "*" if cases[0] == "*" else cases
