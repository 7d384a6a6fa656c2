-- What waits is counted from an index alone, however long the queue is.
DROP INDEX message_due;
CREATE INDEX message_due ON message (route, priority, due, id, waiting, size, attempts) WHERE state = 0;
-- Mail of test mode, and reports, are counted apart from the rest in the same way.
CREATE INDEX message_test ON message (state) WHERE kind = 0 AND json_extract(decisions, '$.test') IS NOT NULL;
CREATE INDEX message_report ON message (state) WHERE kind <> 0;
