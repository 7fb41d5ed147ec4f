-- One row for each source and host: the stored sessions.
select platform, ip, cast(day as int) as src, host, day, first_seen, last_seen, packets, bytes, backscatter, ports, sequence
from stored_sessions
