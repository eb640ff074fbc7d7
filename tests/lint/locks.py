#!/usr/bin/env python3
"""What needs a lock is named ..._locked, and is called, as is a wait on a condition, only where a lock is held: in another such function, or
behind a lock in the same one that was not let go. Run from the root of the tree."""
import pathlib
import re
import sys

# From the line that names it to the closing brace, both at the line's beginning.
FUNCTION = re.compile(r"^[a-z][^\n;={]*?\b(\w+)\([^;{}]*\)\s*(?:/\*.*?\*/\s*)?\n\{\n(.*?)^\}|"
                      r"^[a-z][^\n;={]*?\b(\w+)\([^;{}\n]*\) \{ ([^\n]*) \}$", re.M | re.S)
STEP = re.compile(r"\b(?P<let>(?:pthread_mutex_|\w+_)?unlock)\(|\b(?P<take>(?:pthread_mutex_|\w+_)?lock)\(|\b(?P<needs>\w+_locked|pthread_cond_(?:timed)?wait)\(")
HELD = re.compile(r"with the (?:mutex|lock)\s+(?:\* )?held[^*]*\*/\n([^;{]*?\b(\w+)\()", re.I | re.S)


def main():
    said = []
    for path in sorted(p for top in ("common", "aws", "qdrant", "efs", "replicator", "entrypoint") for p in pathlib.Path(top).rglob("*.[ch]")):
        text = path.read_text()
        for m in HELD.finditer(text):
            if not m[2].endswith("_locked"):
                said.append(f"{path}: {m[2]} needs a lock, and is not named {m[2]}_locked")
        code = re.sub(r"/\*.*?\*/", lambda c: "\n" * c[0].count("\n"), text, flags=re.S)
        for m in FUNCTION.finditer(code):
            name, body = (m[1], m[2]) if m[1] else (m[3], m[4])
            held = name.endswith(("_locked", "_free"))  # what is freed nobody else has any more
            for step in STEP.finditer(body):
                held = step["take"] is not None or (held and step["let"] is None)
                if step["needs"] and not held:
                    line = code[:m.start(2 if m[1] else 4) + step.start()].count("\n") + 1
                    said.append(f"{path}:{line}: {name} calls {step['needs']} without a lock")
    print("\n".join(said))
    sys.exit(bool(said))


main()
