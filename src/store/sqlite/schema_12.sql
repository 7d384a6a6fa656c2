-- A long blacklist is searched by domain, and what has expired is found without looking at the rest.
CREATE INDEX blacklist_domain ON blacklist
    (ltrim(substr(pattern, length(rtrim(pattern, replace(pattern, '@', ''))) + 1), '*.'));
CREATE INDEX blacklist_expires ON blacklist (expires) WHERE expires IS NOT NULL;
