"""What Schemathesis needs to know besides the document: how a message is sent, and what may be answered without a token."""

import json
import os

import schemathesis


@schemathesis.serializer("message/rfc822")
def message(ctx, value):
    return value.encode("utf-8", "replace") if isinstance(value, str) else json.dumps(value).encode()


if os.environ.get("API_REFUSES"):

    @schemathesis.check
    def refused(ctx, response, case):
        """Nothing but health is told to whoever has no token."""
        if case.operation.path not in ("/healthz", "/readyz"):
            assert response.status_code in (401, 403), f"{case.method} {case.path}: {response.status_code}"
