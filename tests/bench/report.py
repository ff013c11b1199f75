"""The tables: what every tool took, how that compares, what is required and what was reached."""

import statistics

from results import Device, mbps, walls

BEGIN, END = "<!-- made by make bench-imaging: begin -->", "<!-- made by make bench-imaging: end -->"
# Of the preset that images.sh uses.
XZ_DICTIONARY_MIB = 2
KINDS = {"memory": "loop device over memory (tmpfs)", "file": "loop device over a file (direct I/O)"}
PEERS = (
    ("IPA raw", ("IPA raw sha512", "IPA raw sha256")),
    ("IPA qcow2", ("IPA qcow2 sha256",)),
    ("IPA qcow2-zstd", ("IPA qcow2-zstd sha256",)),
    ("curl, dd", ("curl, dd",)),
    ("curl, tee, dd", ("curl, tee openssl sha512, dd", "curl, tee openssl sha256, dd")),
    ("curl, zstd, dd", ("curl, zstd -d, dd",)),
    ("bmaptool", ("bmaptool raw", "bmaptool raw.gz")),
    ("qemu-img", ("qemu-img convert qcow2, local file", "qemu-img convert qcow2-zstd, local file")),
)


def repetitions(record):
    """How often each case was run; a benchmark that was cut off ran some of them less often."""
    counts = {len(case["runs"]) for results in record["devices"].values() for case in results.values() if "error" not in case}
    return " to ".join(str(count) for count in sorted({min(counts), max(counts)}))


def one_line(name, result, size):
    if "error" in result:
        return f"{name}: FAILED: {result['error']}"
    run = result["runs"][-1]
    return f"{name}: {run['wall']:.2f} s, {mbps(size, run['wall']):.0f} MB/s, {run['cpu']:.1f} CPU s, {run['rss_kib'] / 1024:.0f} MiB"


def render(record):
    parts = [describe(record)]
    devices = {kind: Device(record, kind) for kind in record["devices"]}
    parts += [f"### {KINDS[kind]}\n\n{measured(device)}" for kind, device in devices.items()]
    parts += [
        f"### How many times as fast as a peer, best against best: {KINDS[kind]}\n\n{ratios(device)}"
        for kind, device in devices.items()
        if ratios(device)
    ]
    parts.append(f"### Required and reached\n\n{verdicts(devices)}")
    return "\n\n".join(parts) + "\n"


def describe(record):
    machine, image, settings = record["machine"], record["image"], record["settings"]
    files = ", ".join(
        f"{name.removeprefix('disk')} {count / 1e6:.0f}"
        for name, count in image["files"].items()
        if name != "disk.bmap"
    )
    tools = ", ".join(f"{name} {number}" for name, number in machine["tools"].items() if number)
    rates = "; ".join(
        f"{name}: " + ", ".join(f"{algorithm} {rate / 1e6:.0f}" for algorithm, rate in found.items())
        for name, found in record["digest_rates"].items()
    )
    lines = [
        f"{record['date']}, {machine['cpu']}, {machine['cores']} cores (with {', '.join(machine['flags']) or 'none'}; "
        f"without {', '.join(machine['no_flags']) or 'none'} of the flags that matter), {machine['memory_gib']} GiB, Linux {machine['kernel']}.",
        f"Image: {image['size'] / 1e6:.0f} MB, of which {image['mapped'] / 1e6:.0f} MB mapped; files in MB: {files}.",
        f"One core's digests, MB/s: {rates}. The faster counts as the limit.",
        f"{repetitions(record)} runs of each case, the order reversed every other time. MB/s of the image's virtual size.",
        f"Tools: {tools}.",
    ]
    if record["missing"]:
        lines.append(f"**Left out, not installed: {', '.join(record['missing'])}.**")
    return "\n\n".join(lines)


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows])


def measured(device):
    head = (
        "case",
        "s, best / median",
        "MB/s, best / median",
        "of the limit",
        "of all cores' work",
        "CPU s",
        "machine CPU s",
        "nginx CPU s",
        "peak RSS MiB",
        "fetched MB",
        "staged in memory MB",
        "disk written MB",
        "disk equals the image",
    )
    rows = []
    for name, result in device.results.items():
        if "error" in result:
            rows.append((name, f"failed: {result['error']}", *[""] * (len(head) - 2)))
            continue
        taken = walls(result)
        best, median = min(taken), statistics.median(taken)
        middle = lambda field, result=result: statistics.median(run[field] for run in result["runs"])
        limit = device.of_limit(name)
        rows.append(
            (
                name,
                f"{best:.2f} / {median:.2f}",
                f"{mbps(device.size, best):.0f} / {mbps(device.size, median):.0f}",
                f"{limit[1]:.0%} ({limit[0]})" if limit else "",
                f"{device.cores_work(name) / best:.0%}" if limit and device.has_limits() else "",
                f"{middle('cpu'):.1f}",
                f"{middle('machine_cpu'):.1f}",
                f"{middle('nginx_cpu'):.1f}",
                f"{max(run['rss_kib'] for run in result['runs']) / 1024:.0f}",
                f"{middle('served') / 1e6:.0f}",
                f"{middle('staged') / 1e6:.0f}",
                f"{middle('written') / 1e6:.0f}",
                result.get("found", ""),
            )
        )
    return table(head, rows)


def ratios(device):
    ours = [name for name, result in device.results.items() if result["tool"] == "tacit" and result["runs"]]
    there = [(title, names) for title, names in PEERS if device.seconds(*names)]
    if not ours or not there:
        return ""
    rows = [(name, *(f"{device.seconds(*names) / device.seconds(name):.2f}" for _, names in there)) for name in ours]
    return table(("", *(title for title, _ in there)), rows)


def verdicts(devices):
    """One row for each requirement; a cell for each device."""
    rows = []

    def row(path, required, reached):
        """`reached`: Device → (text, kept), or None when it was not measured."""
        cells = []
        for device in devices.values():
            found = reached(device)
            cells.append("not measured" if found is None else f"{found[0]}: {'**kept**' if found[1] else '**missed**'}")
        rows.append((path, required, *cells))

    def times(case, peers, factor):
        def reached(device):
            own, other = device.seconds(case), device.seconds(*peers)
            return own and other and (f"{other / own:.2f} ×", other / own >= factor)

        return reached

    def share(case, without_digest=False):
        """Nine tenths of what one digest allows; where source or device is slower, 85 %."""

        def reached(device):
            found = device.of_limit(case, without_digest)
            return found and (
                f"{found[1]:.0%} of {found[0]}",
                found[1] >= (0.9 if found[0].startswith("sha") else 0.85),
            )

        return reached

    of_limit = "≥ 90 % of the limit; 85 % where that is not the digest"
    ipa_raw = ("IPA raw sha512", "IPA raw sha256")
    for algorithm in ("sha512", "sha256"):
        row(f"raw {algorithm}", of_limit, share(f"tacit raw {algorithm}"))
        row(
            f"raw {algorithm}",
            f"≥ 1.4 × IPA raw {algorithm} (two cores, no SHA instructions)",
            times(f"tacit raw {algorithm}", (f"IPA raw {algorithm}",), 1.4),
        )
    row("raw+bmap", "≥ 2 × bmaptool raw", times("tacit raw+bmap", ("bmaptool raw",), 2))
    row("raw+bmap", "≥ 3 × IPA raw", times("tacit raw+bmap", ipa_raw, 3))
    row("raw+bmap", "≥ 85 % of the slower of source and device", share("tacit raw+bmap", without_digest=True))
    for name in ("qcow2", "qcow2-zstd"):
        row(f"{name} sha256", of_limit, share(f"tacit {name} sha256"))
        row(f"{name} sha256", f"≥ 1.8 × IPA {name}", times(f"tacit {name} sha256", (f"IPA {name} sha256",), 1.8))
    row("raw.zst sha256", "≥ 2 × curl, zstd -d, dd", times("tacit raw.zst sha256", ("curl, zstd -d, dd",), 2))
    row("raw.zst sha256", "≥ 3 × IPA raw", times("tacit raw.zst sha256", ipa_raw, 3))
    for case in ("qcow2 sha256", "raw+bmap"):
        row(
            f"{case}, --changed, nothing changed",
            "≥ 80 % of the device's read rate",
            unchanged_rate(f"tacit {case}, --changed, nothing changed"),
        )
        row(
            f"{case}, --changed, nothing changed",
            "0 bytes written",
            unchanged_bytes(f"tacit {case}, --changed, nothing changed"),
        )
    row("any", "peak RSS ≤ 48 MiB", peak)
    row("any", "disk equals the image", equal)
    return table(("path", "required", *(KINDS[kind] for kind in devices)), rows)


def unchanged_rate(case):
    def reached(device):
        result, reads = device.results.get(case), device.rate("limit: device read, dd")
        if not result or not result["runs"] or not reads:
            return None
        best = max(run["read"] / run["wall"] for run in result["runs"])
        return f"{best / 1e6:.0f} of {reads / 1e6:.0f} MB/s", best >= 0.8 * reads

    return reached


def unchanged_bytes(case):
    def reached(device):
        runs = device.results.get(case, {"runs": []})["runs"]
        most = max((run["written"] + run["discarded"] for run in runs), default=None)
        return most if most is None else (f"{most} bytes", most == 0)

    return reached


def peak(device):
    ours = {name: result for name, result in device.results.items() if result["tool"] == "tacit" and result["runs"]}
    # What the image's own xz dictionary needs comes on top.
    peaks = {
        name: max(run["rss_kib"] for run in result["runs"]) / 1024 - (XZ_DICTIONARY_MIB if "xz" in name else 0)
        for name, result in ours.items()
    }
    highest = max(peaks, key=peaks.get, default=None)
    return highest and (f"{peaks[highest]:.0f} MiB ({highest.removeprefix('tacit ')})", peaks[highest] <= 48)


def equal(device):
    ours = {name: result for name, result in device.results.items() if result["tool"] == "tacit"}
    wrong = [name for name, result in ours.items() if "error" in result]
    return (", ".join(wrong) or f"{len(ours)} of {len(ours)} cases", not wrong) if ours else None


def store(path, text):
    """Puts the text between the markers of a document."""
    whole = path.read_text()
    before, rest = whole.split(BEGIN)
    path.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{rest.split(END)[1]}")
