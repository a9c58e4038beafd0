#!/usr/bin/env node
// Checks the signature of a webhook: node verify.mjs "$SIGNATURE" < body
// The secret is in WEBHOOK_SECRET. Ends with 0 when it is genuine, with 1 when not.
import { createHmac, timingSafeEqual } from "node:crypto";
import { readFileSync } from "node:fs";

// signature is the header X-Bambuddy-Signature, body the request's as it came, a Buffer.
function verify(secret, signature, body, now) {
  const m = /^t=([0-9]{1,15}),v1=([0-9a-f]{64})$/.exec(signature);
  if (m === null || Math.abs(now - Number(m[1])) > 300) {
    return false;
  }
  const want = createHmac("sha256", secret).update(`${m[1]}.`).update(body).digest();
  return timingSafeEqual(want, Buffer.from(m[2], "hex"));
}

const genuine = verify(process.env.WEBHOOK_SECRET, process.argv[2], readFileSync(0), Date.now() / 1000);
process.exit(genuine ? 0 : 1);
