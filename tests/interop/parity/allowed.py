"""The differences that are meant, each with its reason: allowed.toml. Both values are pinned, so that any change of our agent's
answers is seen; what is allowed and does not occur is an error, too."""

import collections
import json
import tomllib
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
    table = tomllib.loads(path.read_text())
    meant, unused = {}, set()
    for reason in table["reason"]:
        for place, theirs, ours, cases in reason["differences"]:
            for case in cases if isinstance(cases, list) else [cases]:
                entry = (case, *key(place, json.loads(theirs), json.loads(ours)))
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


def write(found):
    """What was found as a table without reasons."""
    grouped = collections.defaultdict(list)
    for case, place, theirs, ours in found:
        grouped[key(place, theirs, ours)].append(case)
    lines = ["[[reason]]", 'why = "?"', "differences = ["]
    for (place, theirs, ours), cases in grouped.items():
        lines.append(f"    [{json.dumps(place)}, {json.dumps(theirs)}, {json.dumps(ours)}, {json.dumps(cases)}],")
    return "\n".join([*lines, "]", ""])
