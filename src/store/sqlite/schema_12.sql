-- A long blacklist is searched by domain, and what has expired is found without looking at the rest.
CREATE INDEX blacklist_domain ON blacklist
    (ltrim(substr(pattern, length(rtrim(pattern, replace(pattern, '@', ''))) + 1), '*.'));
CREATE INDEX blacklist_expires ON blacklist (expires) WHERE expires IS NOT NULL;
-- What became of each recipient, for a while; and contents that are kept for sending them again.

ALTER TABLE message ADD COLUMN message_id TEXT;         -- with its angle brackets, cut when it is long; NULL: none is known
ALTER TABLE message ADD COLUMN subject TEXT;            -- decoded; NULL: not kept

-- Written at its end alone: whoever settles a recipient touches no other page. `id` grows with `at`.
CREATE TABLE history (
    id            INTEGER PRIMARY KEY,
    at            INTEGER NOT NULL,
    at_wall       INTEGER NOT NULL,
    queue_id      TEXT    NOT NULL,
    message_id    TEXT,
    subject       TEXT,
    reverse_path  TEXT    NOT NULL,
    address       TEXT    NOT NULL,
    state         INTEGER NOT NULL,             -- 1 sent, 2 bounced, 3 expired, 4 dropped, 5 captured, 6 deleted
    upstream      TEXT    NOT NULL,
    reply         TEXT    NOT NULL,
    test          INTEGER,                      -- 0 redirect, 1 hold, 2 capture; NULL: no test
    attempts      INTEGER NOT NULL,
    size          INTEGER NOT NULL,
    accepted_wall INTEGER NOT NULL
);
-- The rows that are indexed, in runs of many, each indexed at once and in order: one by one, each would change pages all over an
-- index of the whole. Rows behind the last run are few.
CREATE TABLE history_run (
    last  INTEGER PRIMARY KEY,                  -- its last row
    first INTEGER NOT NULL
);
CREATE TABLE history_key (
    run   INTEGER NOT NULL,                     -- history_run.last
    key   INTEGER NOT NULL,                     -- CRC-32 of what is looked for: others may have the same
    place INTEGER NOT NULL,                     -- history.id less history_run.first
    PRIMARY KEY (run, key, place)
) WITHOUT ROWID;

CREATE TABLE kept_content (
    id           INTEGER PRIMARY KEY,
    queue_id     TEXT    NOT NULL UNIQUE,       -- names its content file
    at           INTEGER NOT NULL,              -- when its message left
    reverse_path TEXT    NOT NULL,
    sender       TEXT    NOT NULL,
    body         INTEGER NOT NULL,
    smtputf8     INTEGER NOT NULL,
    ret          INTEGER,
    envelope_id  TEXT,
    mt_priority  INTEGER,
    decisions    TEXT,
    message_id   TEXT,
    subject      TEXT,
    size         INTEGER NOT NULL,
    in_file      INTEGER NOT NULL,
    checksum     INTEGER
);
-- The content of those that have none in a file.
CREATE TABLE kept_content_data (
    kept INTEGER PRIMARY KEY,
    data BLOB NOT NULL
);
