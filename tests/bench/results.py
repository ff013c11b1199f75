"""What was measured on one device, and the limits that were measured with it."""


def walls(result):
    return [run["wall"] for run in result["runs"]]


def mbps(size, seconds):
    return size / seconds / 1e6


class Device:
    """The results of one device, and the limits that were measured with them."""

    def __init__(self, record, kind):
        self.size, self.image, self.results = record["image"]["size"], record["image"], record["devices"][kind]
        self.cores = record["machine"]["cores"]
        rates = record["digest_rates"].values()
        self.digests = {name: max(rate.get(name, 0) for rate in rates) for name in ("sha256", "sha512")}

    def seconds(self, *names):
        """The best time of several cases; None when none of them ran."""
        return min((wall for name in names for wall in walls(self.results.get(name, {"runs": []}))), default=None)

    def rate(self, *names):
        best = self.seconds(*names)
        return best and self.size / best

    @staticmethod
    def served(result):
        """Bytes that the case fetched. Whoever fetches only what a block map names is measured by that."""
        return min(run["served"] for run in result["runs"]) if result["tool"] != "limit" else 0

    def limits(self, result):
        """Seconds that each of what the case needs would take alone."""
        writes = self.rate("limit: device write, dd from zero", "limit: device write, dd from file")
        needs = {
            "source": (self.served(result), self.rate("limit: curl to /dev/null")),
            "device": (result["write"], writes),
            "device's reads": (result["read"], self.rate("limit: device read, dd")),
            **{name: (count, self.digests[name]) for name, count in result["hashed"].items()},
            **{
                f"{name} on all cores": (count, self.digests[name] * self.cores)
                for name, count in result["hashed_in_parallel"].items()
            },
        }
        return {name: amount / rate for name, (amount, rate) in needs.items() if rate and amount}

    def has_limits(self):
        return all(
            self.seconds(name)
            for name in ("limit: curl to /dev/null", "limit: device write, dd from zero", "limit: device read, dd")
        )

    def cores_work(self, name):
        """Seconds in which all cores together could do what the case needs, as if nothing ever waited: serving and receiving the
        source, hashing, writing and reading the device, each with the CPU time (the kernel's included) that it takes alone."""
        result = self.results[name]
        work = lambda limit: min(run["machine_cpu"] for run in self.results[limit]["runs"]) / self.size
        return (
            self.served(result) * work("limit: curl to /dev/null")
            + result["write"] * work("limit: device write, dd from zero")
            + result["read"] * work("limit: device read, dd")
            + sum(
                count / self.digests[algorithm]
                for hashed in (result["hashed"], result["hashed_in_parallel"])
                for algorithm, count in hashed.items()
            )
        ) / self.cores

    def of_limit(self, name, without_digest=False):
        """(what limits, its share of the best time); None when the case did not run."""
        result, best = self.results.get(name), self.seconds(name)
        if not best:
            return None
        limits = {
            what: taken
            for what, taken in self.limits(result).items()
            if not (without_digest and what.startswith("sha"))
        }
        what = max(limits, key=limits.get, default=None)
        return what and (what, limits[what] / best)
