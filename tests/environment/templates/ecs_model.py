"""What ECS does with a container of a task definition, second by second, by its documented rules: whether a container that ends is
restarted within its task, with its disk, or the task is replaced, by one with an empty disk.

Sources: the ECS API, ContainerRestartPolicy, and the agent's restart_tracker.go: not restarted is what ends with an ignored exit code, or sooner than
RestartAttemptPeriod after its (last) start. HealthCheck: a check that fails within StartPeriod does not count until one has been good; Retries
failures one after the other make the container UNHEALTHY; the next check begins Interval after the end of the one before; one that is not over
after Timeout has failed. The Developer Guide, "Amazon ECS services": a service replaces the tasks that are UNHEALTHY.
"""
REPLACED, RESTARTED = "the task is replaced", "restarted in place"


class Ecs:
    def __init__(self, container, grace=0):
        self.policy, self.check, self.grace = container.get("RestartPolicy", {}), container["HealthCheck"], grace
        self.started = 0

    def ends(self, at, code):
        """The container ends by itself at that second of its task. REPLACED or RESTARTED."""
        p = self.policy
        if not p.get("Enabled") or code in p.get("IgnoredExitCodes", []) or at - self.started < p.get("RestartAttemptPeriod", 300):
            return REPLACED
        self.started = at
        return RESTARTED

    def killed(self, answers, until):
        """When the task is replaced since its checks fail; None if not by `until`. `answers(second)`: (seconds that the check takes, whether it is
        good)."""
        c, now, failed, had_good = self.check, self.started, 0, False
        while True:
            now += c.get("Interval", 30)
            if now > until:
                return None
            takes, good = answers(now)
            good = good and takes <= c.get("Timeout", 5)
            within = now - self.started < c.get("StartPeriod", 0) and not had_good
            now += min(takes, c.get("Timeout", 5))
            had_good |= good
            failed = 0 if good else failed if within else failed + 1
            if failed >= c.get("Retries", 3) and now - self.started >= self.grace:
                return now
