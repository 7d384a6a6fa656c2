-- Times are moments: milliseconds on the relay's own time line, unless the name says wall.

CREATE TABLE message (
    id            INTEGER PRIMARY KEY,
    queue_id      TEXT    NOT NULL UNIQUE,
    kind          INTEGER NOT NULL,             -- 0 submitted, 1 report
    priority      INTEGER NOT NULL,             -- 0 report, 1 high, 2 normal, 3 low
    state         INTEGER NOT NULL,             -- 0 waiting, 1 sending (under a lease), 2 held
    route         TEXT    NOT NULL,             -- the upstream whose lane it stands in; '' when no route is known
    due           INTEGER NOT NULL,
    age_base      INTEGER NOT NULL,             -- accepted, less what the lane had waited for limits by then
    warned        INTEGER NOT NULL DEFAULT 0,
    attempts      INTEGER NOT NULL DEFAULT 0,
    waiting       INTEGER NOT NULL,             -- recipients that are not settled
    accepted      INTEGER NOT NULL,
    accepted_wall INTEGER NOT NULL,
    reverse_path  TEXT    NOT NULL,
    sender        TEXT    NOT NULL,
    body          INTEGER NOT NULL,             -- 0 7BIT, 1 8BITMIME
    smtputf8      INTEGER NOT NULL,
    client        TEXT    NOT NULL,
    helo          TEXT    NOT NULL,
    user          TEXT,
    listener      TEXT    NOT NULL,
    test_action   INTEGER,                      -- 0 redirect, 1 hold, 2 capture; NULL: not accepted in test mode
    test_address  TEXT,
    size          INTEGER NOT NULL,
    in_file       INTEGER NOT NULL
);
-- What is due: one look-up per lane and priority, however long the queue is.
CREATE INDEX message_due ON message (route, state, priority, due, id);
-- What is overdue.
CREATE INDEX message_age ON message (route, state, age_base);

-- Content that is not in a file. Apart from `message`, so that changing a state does not write it again.
CREATE TABLE content (
    message INTEGER PRIMARY KEY,
    data    BLOB NOT NULL
);

CREATE TABLE recipient (
    message  INTEGER NOT NULL,
    place    INTEGER NOT NULL,
    address  TEXT    NOT NULL,
    state    INTEGER NOT NULL,                  -- 0 waiting, 1 sent, 2 bounced, 3 expired, 4 dropped, 5 captured
    attempts INTEGER NOT NULL DEFAULT 0,
    reply    TEXT    NOT NULL DEFAULT '',
    PRIMARY KEY (message, place)
) WITHOUT ROWID;

-- A message in an attempt, and the permit that was taken for it.
CREATE TABLE lease (
    message    INTEGER PRIMARY KEY,
    upstream   TEXT    NOT NULL,
    account    TEXT    NOT NULL,
    recipients INTEGER NOT NULL,                -- 0: no permit was taken
    expires    INTEGER NOT NULL
);

-- What was counted in each slot of each window.
CREATE TABLE usage (
    upstream   TEXT    NOT NULL,
    account    TEXT    NOT NULL,
    window     INTEGER NOT NULL,                -- 0 minute, 1 hour, 2 day, 3 week
    slot       INTEGER NOT NULL,
    messages   INTEGER NOT NULL,
    recipients INTEGER NOT NULL,
    PRIMARY KEY (upstream, account, window, slot)
) WITHOUT ROWID;

CREATE TABLE blacklist (
    pattern TEXT PRIMARY KEY,
    reason  TEXT    NOT NULL,
    source  INTEGER NOT NULL,                   -- 0 manual, 1 bounce
    added   INTEGER NOT NULL,                   -- wall clock
    expires INTEGER
) WITHOUT ROWID;

-- Hard bounces of addresses that are not on the blacklist yet.
CREATE TABLE hard_bounce (
    address TEXT PRIMARY KEY,
    count   INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE total (
    name  TEXT PRIMARY KEY,
    count INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE limit_wait (
    route  TEXT PRIMARY KEY,
    millis INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE switch (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

INSERT INTO total (name, count) VALUES
    ('accepted', 0), ('generated', 0), ('sent', 0), ('bounced', 0), ('expired', 0), ('dropped', 0), ('captured', 0),
    ('deleted', 0);
