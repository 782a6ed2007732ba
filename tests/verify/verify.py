"""Verifies recorded requests with the `standardwebhooks` library of PyPI, and ed25519 signatures with `cryptography`.

Each line of the file is {"secret": "whsec_…" or "whpk_…", "headers": {…}, "body": base64}. Fails unless every request verifies, and
none does that was changed, is old, or is verified with another secret.
"""

import base64
import json
import sys
import time

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from standardwebhooks.webhooks import Webhook, WebhookVerificationError


def symmetric(secret, headers, body):
    Webhook(secret).verify(body, headers, json_parse=False)


def asymmetric(secret, headers, body):
    """As the specification says; the library knows v1 only."""
    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(secret.removeprefix("whpk_")))
    if abs(time.time() - int(headers["webhook-timestamp"])) > 300:
        raise WebhookVerificationError("too old or too new")
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    for scheme, signature in (one.split(",") for one in headers["webhook-signature"].split(" ")):
        if scheme == "v1a":
            try:
                return key.verify(base64.b64decode(signature), signed)
            except InvalidSignature:
                pass
    raise WebhookVerificationError("no signature is right")


def verifies(secret, headers, body):
    try:
        (symmetric if secret.startswith("whsec_") else asymmetric)(secret, headers, body)
        return True
    except WebhookVerificationError:
        return False


counts = {"whsec": 0, "whpk": 0}
for line in open(sys.argv[1], encoding="utf-8"):
    request = json.loads(line)
    secret, headers, body = request["secret"], request["headers"], base64.b64decode(request["body"])
    kind = secret.split("_")[0]
    try:
        body.decode()
    except UnicodeDecodeError:
        if kind == "whsec":
            continue  # The library takes text only.
    assert verifies(secret, headers, body), f"does not verify: {request}"
    assert not verifies(secret, headers, body + b"x"), f"verifies although it was changed: {request}"
    assert not verifies(secret, headers | {"webhook-id": "msg_0"}, body), f"verifies as another message: {request}"
    later = str(int(headers["webhook-timestamp"]) + 1)
    assert not verifies(secret, headers | {"webhook-timestamp": later}, body), f"verifies at another time: {request}"
    old = str(int(headers["webhook-timestamp"]) - 3600)
    assert not verifies(secret, headers | {"webhook-timestamp": old}, body), f"verifies although it is old: {request}"
    if kind == "whsec":
        other = "whsec_" + base64.b64encode(bytes(32)).decode()
        assert not verifies(other, headers, body), f"verifies with another secret: {request}"
    counts[kind] += 1
assert all(counts.values()), f"too little was recorded: {counts}"
print(f"PyPI: {counts['whsec']} of v1 and {counts['whpk']} of v1a verify")
