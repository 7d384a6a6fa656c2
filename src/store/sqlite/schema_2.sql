-- What the client asked for beyond delivery (RFC 3461, RFC 6710), NULL where it did not say; and failures apart from attempts.

ALTER TABLE message ADD COLUMN ret INTEGER;             -- 0 FULL, 1 HDRS
ALTER TABLE message ADD COLUMN envelope_id TEXT;        -- as in ENVID=, in xtext
ALTER TABLE message ADD COLUMN mt_priority INTEGER;     -- -9 to 9

ALTER TABLE recipient ADD COLUMN notify INTEGER;        -- 1 success, 2 failure, 4 delay, summed; 0 is NEVER
ALTER TABLE recipient ADD COLUMN original TEXT;         -- as in ORCPT=, in xtext

-- Of the attempts, the ones that were not the upstream's own trouble.
ALTER TABLE recipient ADD COLUMN failures INTEGER NOT NULL DEFAULT 0;
