"""A file system that hangs is the entrypoint's suite's."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "entrypoint"))
