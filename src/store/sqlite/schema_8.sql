-- Each content has a checksum, verified whenever all of it is read.
ALTER TABLE message ADD COLUMN checksum INTEGER;        -- CRC-32 of the content; NULL: an older version has stored it

-- Contents in files whose messages have left the queue: what a crash has left of them need not be kept.
CREATE TABLE content_gone (
    queue_id TEXT PRIMARY KEY,
    at       INTEGER NOT NULL
) WITHOUT ROWID;
