-- What was decided about a message at its acceptance is one record; leases say whose they are; octets are counted.

ALTER TABLE message ADD COLUMN decisions TEXT;          -- JSON; NULL: nothing was decided
UPDATE message SET decisions = json_object('test', json_object(
    'action', CASE test_action WHEN 0 THEN 'redirect' WHEN 1 THEN 'hold' ELSE 'capture' END,
    'address', test_address
)) WHERE test_action IS NOT NULL;
ALTER TABLE message DROP COLUMN test_action;
ALTER TABLE message DROP COLUMN test_address;

-- What is overdue, and whether its sender has been warned; only what waits is looked for.
DROP INDEX message_age;
CREATE INDEX message_age ON message (route, warned, age_base) WHERE state = 0;
-- What is held, for routing it again.
CREATE INDEX message_held ON message (route) WHERE state = 2;

-- A lease belongs to one opening of the store, and is told from others of its message by its token. The amount is that of the
-- permit; 0 messages: no permit was taken.
ALTER TABLE lease ADD COLUMN messages INTEGER NOT NULL DEFAULT 0;
ALTER TABLE lease ADD COLUMN octets INTEGER NOT NULL DEFAULT 0;
ALTER TABLE lease ADD COLUMN owner INTEGER NOT NULL DEFAULT 0;
ALTER TABLE lease ADD COLUMN token INTEGER NOT NULL DEFAULT 0;
UPDATE lease SET messages = 1 WHERE recipients > 0;
ALTER TABLE lease DROP COLUMN expires;

ALTER TABLE permit ADD COLUMN octets INTEGER NOT NULL DEFAULT 0;
ALTER TABLE usage ADD COLUMN octets INTEGER NOT NULL DEFAULT 0;
