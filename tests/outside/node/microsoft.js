// Exchange Online's SMTP AUTH as smtp-server gives it: STARTTLS, AUTH LOGIN and XOAUTH2, refusals at once and in its words.
//
// The order comes as JSON in the first argument: {port, control, key, certificate, token_key, passwords}: the ports, the
// PEM files for TLS, the public key that tokens are signed by, and the passwords by user. Says "ready" on stdout.
"use strict";

const crypto = require("crypto");
const fs = require("fs");
const http = require("http");
const { SMTPServer } = require("smtp-server");

const order = JSON.parse(process.argv[2]);
const WRONG = "5.7.3 Authentication unsuccessful [ZR0P278CA0001.CHEP278.PROD.OUTLOOK.COM 2026-11-26T06:00:00.000Z 08DE0000]";
const state = {
    refuse: null,  // {code, text, times}: so many logins are refused in these words; times null: all
    revoked: [],   // tokens that are good no longer, though nothing in them says so
    logins: [],    // {method, user, token, accepted, at}
    mail: [],      // {user, from, to, content}
};

const claimsOf = (token) => {
    const [head, body, signature] = token.split(".");
    const key = fs.readFileSync(order.token_key);
    if (!signature || !crypto.verify("RSA-SHA256", Buffer.from(`${head}.${body}`), key, Buffer.from(signature, "base64url"))) {
        return {};
    }
    return JSON.parse(Buffer.from(body, "base64url"));
};

const isGood = (auth) => {
    if (auth.method === "XOAUTH2") {
        if (state.revoked.includes(auth.accessToken)) return false;
        const claims = claimsOf(auth.accessToken);
        return claims.email === auth.username && claims.exp > Date.now() / 1000;
    }
    return order.passwords[auth.username] !== undefined && order.passwords[auth.username] === auth.password;
};

const refusal = (code, text) => Object.assign(new Error(text), { responseCode: code });

const onAuth = (auth, session, done) => {
    let error = isGood(auth) ? null : refusal(535, WRONG);
    const refuse = state.refuse;
    if (refuse && refuse.times !== 0) {
        error = refusal(refuse.code, refuse.text);
        if (refuse.times) refuse.times -= 1;
    }
    const login = { method: auth.method, user: auth.username, token: auth.accessToken, accepted: !error, at: Date.now() / 1000 };
    state.logins.push(login);
    return error ? done(error) : done(null, { user: auth.username });
};

const onData = (stream, session, done) => {
    const parts = [];
    stream.on("data", (part) => parts.push(part));
    stream.on("end", () => {
        const { mailFrom, rcptTo } = session.envelope;
        const content = Buffer.concat(parts).toString("latin1");
        state.mail.push({ user: session.user, from: mailFrom.address, to: rcptTo.map((to) => to.address), content });
        done(null, "2.0.0 OK <fixed@firm.example> [Hostname=ZR0P278MB0001.CHEP278.PROD.OUTLOOK.COM]");
    });
};

const mail = new SMTPServer({
    name: "outlook.test",
    banner: "Microsoft ESMTP MAIL Service ready",
    key: fs.readFileSync(order.key),
    cert: fs.readFileSync(order.certificate),
    authMethods: ["LOGIN", "XOAUTH2"],
    size: 35 << 20,
    disableReverseLookup: true,
    onAuth,
    onData,
});
mail.on("error", (error) => console.error(error.message));

const control = http.createServer((request, response) => {
    let body = "";
    request.on("data", (part) => { body += part; });
    request.on("end", () => {
        const { cut, revoke, ...changes } = body ? JSON.parse(body) : {};
        Object.assign(state, changes);
        state.revoked.push(...(revoke ?? []));
        if (cut) mail.connections.forEach((connection) => connection.close());
        response.writeHead(200, { "content-type": "application/json" });
        // One part of the state, as the path names it.
        response.end(JSON.stringify(state[request.url.slice(1)] ?? null));
    });
});
control.listen(order.control, "127.0.0.1", () => mail.listen(order.port, "127.0.0.1", () => console.log("ready")));
