"""Errors as Qdrant reports them: an HTTP status and a text."""


class Fault(Exception):
    def __init__(self, status, text):
        super().__init__(text)
        self.status, self.text = status, text


def not_found(text):
    return Fault(404, f"Not found: {text}")


def wrong_input(text):
    return Fault(400, f"Wrong input: {text}")


def bad_request(text):
    return Fault(400, f"Bad request: {text}")


def forbidden(text):
    return Fault(403, f"Forbidden: {text}")


def internal(text):
    return Fault(500, f"Service internal error: {text}")


def malformed(what):
    return Fault(400, f"Format error in JSON body: {what}")


def invalid(where, field, text):
    return Fault(422, f"Validation error in {where}: [{field}: {text}]")
