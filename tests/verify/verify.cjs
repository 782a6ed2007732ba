// Verifies recorded requests with the `standardwebhooks` library of npm, and ed25519 signatures with node's own crypto.
//
// Each line of the file is {"secret": "whsec_…" or "whpk_…", "headers": {…}, "body": base64}. Fails unless every request verifies, and
// none does that was changed, is old, or is verified with another secret.

const assert = require("node:assert");
const crypto = require("node:crypto");
const fs = require("node:fs");
const { Webhook, WebhookVerificationError } = require("standardwebhooks");

function symmetric(secret, headers, body) {
    try {
        new Webhook(secret).verify(body.toString("utf8"), headers);
    } catch (error) {
        if (error instanceof WebhookVerificationError) throw error;
        assert(error instanceof SyntaxError, error); // It verified, and is no JSON.
    }
}

// As the specification says; the library knows v1 only.
function asymmetric(secret, headers, body) {
    const raw = Buffer.from(secret.slice("whpk_".length), "base64");
    const key = crypto.createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x: raw.toString("base64url") }, format: "jwk" });
    const age = Math.abs(Date.now() / 1000 - Number(headers["webhook-timestamp"]));
    const signed = Buffer.concat([Buffer.from(`${headers["webhook-id"]}.${headers["webhook-timestamp"]}.`), body]);
    const right = headers["webhook-signature"].split(" ").some((one) => {
        const [scheme, signature] = one.split(",");
        return scheme === "v1a" && crypto.verify(null, signed, key, Buffer.from(signature, "base64"));
    });
    if (age > 300 || !right) throw new WebhookVerificationError("not right");
}

function verifies(secret, headers, body) {
    try {
        (secret.startsWith("whsec_") ? symmetric : asymmetric)(secret, headers, body);
        return true;
    } catch (error) {
        if (error instanceof WebhookVerificationError) return false;
        throw error;
    }
}

const counts = { whsec: 0, whpk: 0 };
for (const line of fs.readFileSync(process.argv[2], "utf8").trim().split("\n")) {
    const { secret, headers, body: encoded } = JSON.parse(line);
    const body = Buffer.from(encoded, "base64");
    const kind = secret.split("_")[0];
    if (kind === "whsec" && !Buffer.from(body.toString("utf8"), "utf8").equals(body)) continue; // The library takes text only.
    const shifted = (seconds) => ({ ...headers, "webhook-timestamp": String(Number(headers["webhook-timestamp"]) + seconds) });
    assert(verifies(secret, headers, body), `does not verify: ${line}`);
    assert(!verifies(secret, headers, Buffer.concat([body, Buffer.from("x")])), `verifies although it was changed: ${line}`);
    assert(!verifies(secret, { ...headers, "webhook-id": "msg_0" }, body), `verifies as another message: ${line}`);
    assert(!verifies(secret, shifted(1), body), `verifies at another time: ${line}`);
    assert(!verifies(secret, shifted(-3600), body), `verifies although it is old: ${line}`);
    if (kind === "whsec") {
        const other = `whsec_${Buffer.alloc(32).toString("base64")}`;
        assert(!verifies(other, headers, body), `verifies with another secret: ${line}`);
    }
    counts[kind] += 1;
}
assert(Object.values(counts).every((count) => count > 0), `too little was recorded: ${JSON.stringify(counts)}`);
console.log(`npm: ${counts.whsec} of v1 and ${counts.whpk} of v1a verify`);
