-- Each recipient waits for itself, and counts after how many attempts the upstream may have the message though it has not
-- said so. `message.due` is when the first of those that wait may go, but never before the last attempt.
ALTER TABLE recipient ADD COLUMN due INTEGER NOT NULL DEFAULT 0;
ALTER TABLE recipient ADD COLUMN doubts INTEGER NOT NULL DEFAULT 0;
UPDATE recipient SET due = coalesce((SELECT due FROM message WHERE id = recipient.message), 0) WHERE state = 0;

-- Kind 3: the login was refused, and `until` is when it is probed next. What it consisted of, so that another one is told apart.
ALTER TABLE standing ADD COLUMN login TEXT;
