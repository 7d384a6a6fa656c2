-- Addresses and domains are compared by one key (mail::AddressKey): what was stored in another spelling becomes it.

UPDATE message SET sender = address_key(sender) WHERE sender <> address_key(sender);
UPDATE message SET route = lane_key(route) WHERE route <> lane_key(route);
-- Of two lanes that become one, the longer wait stays.
INSERT INTO limit_wait (route, millis)
    SELECT lane_key(route), millis FROM limit_wait WHERE route <> lane_key(route)
    ON CONFLICT DO UPDATE SET millis = max(millis, excluded.millis);
DELETE FROM limit_wait WHERE route <> lane_key(route);

-- Of two entries that become one, a person's stays, then the one that lasts longer.
INSERT INTO blacklist (pattern, reason, source, added, expires)
    SELECT pattern_key(pattern), reason, source, added, expires FROM blacklist WHERE pattern <> pattern_key(pattern)
    ON CONFLICT DO UPDATE SET
        reason = excluded.reason, source = excluded.source, added = excluded.added, expires = excluded.expires
    WHERE (excluded.source, excluded.expires IS NOT NULL, -coalesce(excluded.expires, 0))
        < (source, expires IS NOT NULL, -coalesce(expires, 0));
DELETE FROM blacklist WHERE pattern <> pattern_key(pattern);
