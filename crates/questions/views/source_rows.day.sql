-- One row for each source: the stored ones.
select platform, ip, cast(day as int) as src, day, first_seen, first_seen_ns, last_seen, packets, bytes, backscatter, ports, hosts, sequence, host_order
from stored_sources
