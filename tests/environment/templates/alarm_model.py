"""What CloudWatch does with an alarm of a template, minute by minute, by its documented rules.

An alarm that is new is in INSUFFICIENT_DATA. It looks at the last EvaluationPeriods whole periods; DatapointsToAlarm of them make an ALARM. A period
without a sample is breaching, notBreaching, or (ignore) says nothing: with no period left that says something the state stays. An action is
taken when the state *changes*, and not for as long as a state lasts; not at all while ActionsEnabled is false, nor later for what
changed then. Source: CloudWatch User Guide, "Using Amazon CloudWatch alarms", "Alarm actions", "Configuring how alarms treat missing data".
"""
BREACHES = {"GreaterThanThreshold": lambda v, t: v > t, "LessThanThreshold": lambda v, t: v < t,
            "GreaterThanOrEqualToThreshold": lambda v, t: v >= t}
STATISTICS = {"Maximum": max, "Sum": sum, "SampleCount": len}


class Alarm:
    def __init__(self, properties, threshold=None, born=0):
        self.p, self.born = properties, born
        self.threshold = threshold if threshold is not None else float(properties["Threshold"])
        self.state, self.enabled = "INSUFFICIENT_DATA", properties.get("ActionsEnabled", True)
        self.actions = []  # (minute, new state)

    def period(self, samples, start):
        """True, False, or None: breaching, not, nothing is said. `samples`: {second: [value]}."""
        values = [v for at, vs in samples.items() if start <= at < start + self.p["Period"] for v in vs]
        if values:
            return BREACHES[self.p["ComparisonOperator"]](STATISTICS[self.p["Statistic"]](values), self.threshold)
        return {"breaching": True, "notBreaching": False, "ignore": None}[self.p["TreatMissingData"]]

    def look(self, samples, now):
        period = self.p["Period"]
        end = now - now % period
        said = [self.period(samples, end - n * period) for n in range(1, self.p["EvaluationPeriods"] + 1)]
        known = [s for s in said if s is not None]
        if not known:
            return
        new = "ALARM" if sum(known) >= self.p.get("DatapointsToAlarm", self.p["EvaluationPeriods"]) else "OK"
        changed, self.state = new != self.state, new
        if changed and self.enabled and (self.p["AlarmActions"] if new == "ALARM" else self.p["OKActions"]):
            self.actions.append((now // 60, new))

    def run(self, samples, until, since=None):
        """Every minute from `since` (its birth) to `until`, in seconds. Returns itself."""
        for now in range(self.born if since is None else since, until, 60):
            self.look(samples, now)
        return self

    def pages(self):
        return [at for at, state in self.actions if state == "ALARM"]
