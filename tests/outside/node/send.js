// Hands one message in with nodemailer. The order comes as JSON on stdin; what went wrong goes to stderr, status 1.
"use strict";

const fs = require("fs");
const nodemailer = require("nodemailer");

const order = JSON.parse(fs.readFileSync(0, "utf8"));
const transport = nodemailer.createTransport({
    host: "127.0.0.1",
    port: order.port,
    secure: order.mode === "implicit",
    requireTLS: order.mode === "starttls",
    tls: { servername: "localhost", ca: fs.readFileSync(order.ca) },
    authMethod: order.mechanism,
    auth: { user: order.user, pass: order.password },
    connectionTimeout: 30000,
    socketTimeout: 60000,
});
const message = {
    envelope: { from: order.reverse_path, to: order.recipients },
    from: order.author,
    sender: order.sender,
    to: order.recipients,
    subject: order.subject,
    text: order.text,
};
transport.sendMail(message).then(
    (info) => console.log(info.response),
    (error) => {
        console.error(`${error.code} ${error.responseCode} ${error.message}`);
        process.exitCode = 1;
    },
);
