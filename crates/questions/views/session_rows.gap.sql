-- One row for each source and host, its days joined.
select p.platform, p.ip, p.src, p.host, min(p.day) as day, min(p.first_seen) as first_seen, max(p.last_seen) as last_seen,
       sum(p.packets) as packets, sum(p.bytes) as bytes, sum(p.backscatter) as backscatter,
       count(distinct case when p.number is not null then p.port end) as ports,
       ports_sequence(p.protocol, p.number, cast(p.first_seen as bigint) * 1000 + p.first_seen_ns, p.first_capture, p.first_frame) as sequence
from probe_rows p
group by p.platform, p.ip, p.src, p.host
