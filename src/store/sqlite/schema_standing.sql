-- What keeps an upstream or a login from sending beyond a restart. account '*': all logins of the upstream.
CREATE TABLE standing (
    upstream TEXT    NOT NULL,
    account  TEXT    NOT NULL,
    kind     INTEGER NOT NULL,                  -- 0 paused by the provider, 1 stopped, 2 disabled by hand
    until    INTEGER,                           -- a moment; NULL: until somebody sees to it
    reason   TEXT    NOT NULL,
    PRIMARY KEY (upstream, account, kind)
) WITHOUT ROWID;
