"""A set stays whole for as long as the highest frequency that one of its nodes gave it."""
LEFT = {"RETENTION": "15min=30m,hourly=30m,daily=30m,monthly=2"}


def kept(tree):
    return {(b["node"], b["slot"][11:16]): b["frequency"] for b in tree.ls()}


def run_on(nodes, tree, first, day="2026-11-24", **env):
    """`first` has its first backup at 08:15, the others at 08:00; then all go on for an hour."""
    for node in ("node-0", "node-1", "node-2"):
        if node != first:
            nodes.publish(node, f"{day}-08-00-03", **env)
    for when in ("08-15", "08-30", "08-45", "09-00", "09-15"):
        for node in ("node-0", "node-1", "node-2"):
            nodes.publish(node, f"{day}-{when}-03", **env)


def test_what_another_node_keeps_in_a_higher_frequency_stays_and_the_set_is_complete(nodes, tree):
    run_on(nodes, tree, "node-1", **LEFT)
    left = kept(tree)
    assert left["node-1", "08:15"] == "monthly" and left["node-0", "08:00"] == left["node-2", "08:00"] == "monthly"
    assert left["node-0", "08:15"] == left["node-2", "08:15"] == "15min"
    assert ("node-0", "08:30") not in left and ("node-1", "08:30") not in left
    states = {s["slot"][11:16]: s["state"] for s in nodes.sets()}
    assert states["08:15"] == "complete" and states["09:15"] == "complete"
    assert states["08:00"] == "incomplete"  # node-1 has none


def test_when_the_highest_goes_all_of_the_set_go(nodes, tree):
    run_on(nodes, tree, "node-1", "2026-09-24", **LEFT)
    for day in ("2026-10-24", "2026-11-24"):  # a month each: two are kept
        for node in ("node-0", "node-1", "node-2"):
            nodes.publish(node, f"{day}-08-00-03", **LEFT)
    assert {b["slot"] for b in tree.ls()} & {"2026-09-24T08:00:00Z", "2026-09-24T08:15:00Z"} == set()


def test_a_node_that_is_gone_keeps_nothing_of_the_others_in_its_own_frequency(nodes, tree):
    for when in ("08-00", "08-15", "08-30"):
        for node in ("node-0", "node-1", "node-2"):
            nodes.publish(node, f"2026-11-24-{when}-03", **LEFT)
    for when in ("09-30", "09-45", "10-00"):  # node-2 is gone
        for node in ("node-0", "node-1"):
            nodes.publish(node, f"2026-11-24-{when}-03", **LEFT)
    left = kept(tree)
    assert ("node-2", "08:15") in left and ("node-2", "08:30") in left  # nobody knows whether it comes back
    assert ("node-0", "08:15") not in left and ("node-1", "08:30") not in left
