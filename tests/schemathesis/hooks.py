"""What the run in tests/it/http/schemathesis.rs changes about the requests that are made up."""

import itertools
import re

import schemathesis

NUMBERS = itertools.count()


@schemathesis.hook
def before_call(context, case, kwargs):
    once(case)
    briefly(case)
    whole(case.body)


def once(case):
    """A key that could be valid is used once: made-up keys are mostly alike, and would be refused as used with another body."""
    key = (case.headers or {}).get("Idempotency-Key")
    if isinstance(key, str) and re.fullmatch("[!-~]{1,64}", key):
        case.headers["Idempotency-Key"] = f"run-{next(NUMBERS)}"


def briefly(case):
    """A wait for a change that nobody makes takes as long as it is told."""
    query = case.query or {}
    if re.fullmatch("[0-9]{1,2}", str(query.get("wait_seconds", ""))) and int(query["wait_seconds"]) <= 25:
        query["wait_seconds"] = min(1, int(query["wait_seconds"]))


def whole(value):
    """JSON Schema takes 1.0 for an integer; a field of whole numbers does not."""
    places = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for place, item in list(places):
        if isinstance(item, float) and item.is_integer() and abs(item) < 2**53:
            value[place] = int(item)
        else:
            whole(item)
