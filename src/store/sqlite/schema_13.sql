-- Mail of test mode, and reports, are counted apart from the rest, however long the queue is.
CREATE INDEX message_test ON message (state) WHERE kind = 0 AND json_extract(decisions, '$.test') IS NOT NULL;
CREATE INDEX message_report ON message (state) WHERE kind <> 0;
