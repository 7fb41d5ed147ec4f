-- One row for each source, its days joined; it belongs to the day of its first packet.
select p.platform, p.ip, p.src, min(p.day) as day, min(p.first_seen) as first_seen,
       cast(min(cast(p.first_seen as bigint) * 1000 + p.first_seen_ns) % 1000 as smallint) as first_seen_ns,
       max(p.last_seen) as last_seen,
       sum(p.packets) as packets, sum(p.bytes) as bytes, sum(p.backscatter) as backscatter,
       count(distinct case when p.number is not null then p.port end) as ports,
       count(distinct p.host) as hosts,
       ports_sequence(p.protocol, p.number, cast(p.first_seen as bigint) * 1000 + p.first_seen_ns, p.first_capture, p.first_frame) as sequence,
       host_order(p.host, cast(p.first_seen as bigint) * 1000 + p.first_seen_ns, p.first_capture, p.first_frame) as host_order
from probe_rows p
group by p.platform, p.ip, p.src
