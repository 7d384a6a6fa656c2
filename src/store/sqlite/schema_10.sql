-- What people's sign-ins at providers gave.
CREATE TABLE sign_in (
    name    TEXT    PRIMARY KEY,
    client  TEXT    NOT NULL,
    account TEXT,                               -- who has signed in; NULL: the provider did not say
    token   BLOB    NOT NULL,
    granted INTEGER NOT NULL,
    renewed INTEGER NOT NULL
) WITHOUT ROWID;
