-- Each content has a checksum, verified whenever all of it is read.
ALTER TABLE message ADD COLUMN checksum INTEGER;        -- CRC-32 of the content; NULL: an older version has stored it

-- Contents in files whose messages have left the queue: what a crash has left of them need not be kept.
CREATE TABLE content_gone (
    queue_id TEXT PRIMARY KEY,
    at       INTEGER NOT NULL
) WITHOUT ROWID;

-- Mailboxes that do not exist, as replies say. What was counted before had no times, so it begins anew.
DROP TABLE hard_bounce;
CREATE TABLE mailbox_failure (
    address TEXT    NOT NULL,
    at      INTEGER NOT NULL,                   -- of an address each is a day after the one before, at least
    domain  TEXT    NOT NULL,
    last    INTEGER NOT NULL,                   -- the last failure before the next row
    void    INTEGER NOT NULL DEFAULT 0,         -- 1: no evidence; its domain was in trouble, or it has made an entry
    PRIMARY KEY (address, at)
) WITHOUT ROWID;
CREATE INDEX mailbox_failure_domain ON mailbox_failure (domain, last);

-- Recipients of a domain that were delivered to, in hours.
CREATE TABLE domain_delivery (
    domain     TEXT    NOT NULL,
    slot       INTEGER NOT NULL,
    recipients INTEGER NOT NULL,
    PRIMARY KEY (domain, slot)
) WITHOUT ROWID;

-- Domains of which too many recipients failed.
CREATE TABLE domain_trouble (
    domain TEXT PRIMARY KEY,
    last   INTEGER NOT NULL
) WITHOUT ROWID;
