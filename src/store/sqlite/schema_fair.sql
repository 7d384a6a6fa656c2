-- Turns are shared between submitters, and what waits can be counted from the indexes alone.

-- Who takes turns: the user, else the client's address, an IPv6 address by its /64. What is in the queue already counts
-- by the whole address.
ALTER TABLE message ADD COLUMN submitter TEXT NOT NULL DEFAULT '';
UPDATE message SET submitter = coalesce(lower(nullif(user, '')), client);

-- Only what waits is looked for by these, so what is in an attempt or held costs them nothing.
-- What a submitter has due: one look-up for each lane, priority and submitter, however long the queue is.
CREATE INDEX message_turn ON message (route, priority, submitter, due, id, waiting) WHERE state = 0;
-- When something is due next: one look-up for each lane and priority.
DROP INDEX message_due;
CREATE INDEX message_due ON message (route, priority, due, id, waiting) WHERE state = 0;
