-- Copies for Sent folders: what an upstream has taken, until it lies in the folder too.
CREATE TABLE sent_copy (
    id        INTEGER PRIMARY KEY,
    copy_id   TEXT    NOT NULL UNIQUE,          -- names its content file
    queue_id  TEXT    NOT NULL,                 -- the message
    upstream  TEXT    NOT NULL,
    account   TEXT    NOT NULL,
    sent_wall INTEGER NOT NULL,
    made      INTEGER NOT NULL,
    due       INTEGER NOT NULL,
    tries     INTEGER NOT NULL DEFAULT 0,
    failed    INTEGER,                          -- when the last try failed; NULL: none has
    reason    TEXT    NOT NULL DEFAULT '',      -- of that
    size      INTEGER NOT NULL,
    in_file   INTEGER NOT NULL,
    checksum  INTEGER
);
-- What an account has to copy, the next first, and how much that is.
CREATE INDEX sent_copy_due ON sent_copy (upstream, account, due, id, size);
CREATE INDEX sent_copy_age ON sent_copy (made);

-- The content of those that have none in a file; apart, so that a failed try does not write it again.
CREATE TABLE sent_copy_content (
    copy INTEGER PRIMARY KEY,
    data BLOB NOT NULL
);

-- Whether a copy of it was made: the first transaction that an upstream takes makes the only one.
ALTER TABLE message ADD COLUMN copied INTEGER NOT NULL DEFAULT 0;
