"""Hooks of Schemathesis for the document of the native API."""

import schemathesis


def has_float(value):
    """Whether a value contains a number that is written with a fraction."""
    if isinstance(value, dict):
        return any(has_float(one) for one in value.values())
    if isinstance(value, list):
        return any(has_float(one) for one in value)
    return isinstance(value, float)


@schemathesis.hook
def filter_body(context, body):
    """JSON Schema takes 3.0 for an integer. No client sends it, and the farm refuses it."""
    return not has_float(body)
