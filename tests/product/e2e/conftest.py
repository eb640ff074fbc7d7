"""A file system that hangs is the entrypoint's suite's."""

