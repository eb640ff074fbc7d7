"""The table of log events: every event word that a program can log is there, and no other."""
import re

from programs import ROOT

# Functions that log what they are given: which of their arguments (from 0) is the event.
LOGGERS = {"log_line": 1, "log_fields": 1, "say": 1, "finish": 1, "summary": 1, "render": None}
WORD = re.compile(r'"([a-z][a-z0-9]*(?:_[a-z0-9]+)*)"')


def without_comments(text):
    return re.sub(r"/\*.*?\*/", " ", text, flags=re.S)


def arguments(text, at):
    """Those of the call whose bracket is at `at`, as text."""
    out, depth, start, i = [], 0, at + 1, at
    while i < len(text):
        c = text[i]
        if c == '"':
            i = re.compile(r'"(?:[^"\\]|\\.)*"').match(text, i).end()
            continue
        if c == "'":
            i = re.compile(r"'(?:[^'\\]|\\.)+'").match(text, i).end()
            continue
        depth += (c in "([{") - (c in ")]}")
        if (c == "," and depth == 1) or depth == 0:
            out.append(text[start:i].strip())
            start = i + 1
        if depth == 0:
            return out
        i += 1
    return out


def given_to(text, variable):
    """The words that a variable or table of that file may have."""
    return {w for value in re.findall(rf"\b{variable}(?:\[\w*\])?\s*=\s*(.*?);", text, re.S) for w in WORD.findall(value)}


def calls():
    """(event words, level words or {} when a variable says it, the file) of each call that logs."""
    for path in sorted(ROOT.glob("[aceqr]*/**/*.c")):
        text = without_comments(path.read_text())
        for m in re.finditer(rf"\b({'|'.join(LOGGERS)})\(", text):
            args = arguments(text, m.end() - 1)
            # What the logs say of themselves: render(level, event, …), render(line, level, event, …).
            which = LOGGERS[m[1]] or 1 + ("_" not in args[0])
            if len(args) <= which:
                continue
            words = set(WORD.findall(args[which])) or given_to(text, re.match(r"\w*", args[which])[0])
            levels = {w.lower() for w in re.findall(r"\b(?:LOG|SAY)_(DEBUG|INFO|WARN|ERROR)\b", args[which - 1])}
            yield words, levels, str(path.relative_to(ROOT))


def logged():
    """{event: the files that log it}"""
    out = {}
    for words, _, path in calls():
        for w in words:
            out.setdefault(w, set()).add(path)
    return out


def rows():
    """(events, levels, what it means, what to do)"""
    table = (ROOT / "docs/events.md").read_text().split("| event | level | what it means | what to do |", 1)[1].split("\n\n", 1)[0]
    for row in table.splitlines()[2:]:
        cells = [c.strip() for c in row.strip("|").split("|")]
        assert len(cells) == 4, row
        yield re.findall(r"`([a-z0-9_]+)`", cells[0]), cells[1].split(", "), cells[2], cells[3]


def told():
    words = [w for events, *_ in rows() for w in events]
    assert len(words) == len(set(words)), "an event is there twice"
    return set(words)


def test_every_event_of_the_programs_is_on_the_page():
    events = logged()
    assert {"published", "boot_restore_not_needed", "upload_refused", "qdrant_started", "summary"} <= set(events)
    assert {w: f for w, f in sorted(events.items()) if w not in told()} == {}


def test_every_event_on_the_page_is_logged_by_a_program():
    assert told() - set(logged()) == set()


def test_each_event_has_a_meaning_and_something_to_do():
    for events, levels, meaning, todo in rows():
        assert set(levels) <= {"debug", "info", "warn", "error"}, events
        assert len(meaning) > 10 and meaning.endswith("."), events
        assert todo.endswith((".", "?")) and (todo == "Nothing." or len(todo) > 10), events
        assert todo != "Nothing." or "error" not in levels, f"{events}: an error leaves nothing to do?"


def test_the_levels_on_the_page_are_those_of_the_programs():
    """Where one call has one event; what is said again at debug is no level of its own."""
    known, free = {}, set()
    for words, levels, _ in calls():
        for w in words:
            if len(words) == 1 and levels:
                known.setdefault(w, set()).update(levels)
            else:
                free.add(w)
    wrong = []
    for events, levels, *_ in rows():
        have = set().union(*(known.get(w, set()) for w in events))
        have = have - {"debug"} or have
        if not have <= set(levels) or (not free & set(events) and set(levels) - have):
            wrong.append((events, levels, sorted(have)))
    assert wrong == []
