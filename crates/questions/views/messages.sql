-- What sources said: messages of theirs that answer nothing a host began (words.md: a reply is no request).
select * from requests where said_by = 'source' and coalesce(started_by, '') <> 'host'
