-- Permits of transactions for which a client waits, and which have no message in the queue.
CREATE TABLE permit (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,   -- never used twice, so that nobody ends another's
    upstream   TEXT    NOT NULL,
    account    TEXT    NOT NULL,
    recipients INTEGER NOT NULL
);
