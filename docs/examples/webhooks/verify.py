#!/usr/bin/env python3
"""Checks the signature of a webhook: verify.py "$SIGNATURE" < body

The secret is in WEBHOOK_SECRET. Ends with 0 when it is genuine, with 1 when not.
"""
import hashlib
import hmac
import os
import re
import sys
import time


def verify(secret: str, signature: str, body: bytes, now: float) -> bool:
    """signature is the header X-Bambuddy-Signature, body the request's as it came."""
    m = re.fullmatch(r"t=([0-9]{1,15}),v1=([0-9a-f]{64})", signature)
    if m is None or abs(now - int(m[1])) > 300:
        return False
    want = hmac.new(secret.encode(), m[1].encode() + b"." + body, hashlib.sha256)
    return hmac.compare_digest(want.hexdigest(), m[2])


if __name__ == "__main__":
    genuine = verify(os.environ["WEBHOOK_SECRET"], sys.argv[1], sys.stdin.buffer.read(), time.time())
    sys.exit(0 if genuine else 1)
