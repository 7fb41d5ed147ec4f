-- Every source in the span with its kind (the paper, 5.4). A is the set of sequences of the sources
-- that reached all hosts of their platform.
with platform_size as (
  select platform, count(distinct host) as size from stored_hosts group by platform),
a as (
  select distinct s.platform, s.sequence
  from source_rows s join platform_size n on s.platform = n.platform
  where s.hosts = n.size),
-- Who could be focused: one host of several, an own sequence, some port, not all backscatter.
candidate as (
  select s.platform, s.ip, s.src
  from source_rows s
  join platform_size n on s.platform = n.platform
  left join a on a.platform = s.platform and a.sequence = s.sequence
  where s.hosts = 1 and n.size > 1 and s.ports > 0 and s.packets > s.backscatter and a.sequence is null),
targeted as (
  select p.platform, p.ip, p.src, p.host, p.protocol, p.number,
         min(cast(p.first_seen as bigint) * 1000 + p.first_seen_ns) as first_ns,
         bool_or(p.first_answer is not null) as answered
  from probe_rows p
  join candidate c on c.platform = p.platform and c.ip = p.ip and c.src = p.src
  where p.number is not null
  group by p.platform, p.ip, p.src, p.host, p.protocol, p.number),
answered as (
  select platform, host, protocol, number, min(cast(first_answer as bigint) * 1000 + first_answer_ns) as answer_ns
  from stored_all_probes where first_answer is not null
  group by platform, host, protocol, number),
history as (
  select platform, host, bool_or(has_history) as known from stored_hosts group by platform, host),
-- A port was open when it was first targeted: by the platform file, or because the host had answered on it.
opened as (
  select t.platform, t.ip, t.src, h.known,
         case when h.known then bool_or(o.host is not null)
              else bool_or(t.answered) or bool_or(coalesce(f.answer_ns < t.first_ns, false)) end as is_open
  from targeted t
  join history h on h.platform = t.platform and h.host = t.host
  left join stored_openings o
    on o.platform = t.platform and o.host = t.host and o.protocol = t.protocol and o.number = t.number
   and coalesce(cast(o.opened as bigint) * 1000 <= t.first_ns, true)
   and coalesce(t.first_ns < cast(o.closed as bigint) * 1000, true)
  left join answered f
    on f.platform = t.platform and f.host = t.host and f.protocol = t.protocol and f.number = t.number
  group by t.platform, t.ip, t.src, t.host, t.protocol, t.number, h.known),
focused as (
  select platform, ip, src, bool_and(known) as known from opened
  group by platform, ip, src having bool_and(is_open))
select s.platform, s.day, s.ip,
       w.country, w.region, w.asn,
       s.hosts, s.sequence, s.host_order,
       case when n.size = 1 and s.packets = s.backscatter then 'backscatter'
            when n.size = 1 then 'single-host'
            when s.hosts = n.size then 'all-hosts'
            when a.sequence is not null then 'partial'
            when s.packets = s.backscatter then 'backscatter'
            when f.ip is not null then 'focused'
            else 'other' end as kind,
       y.os_p0f, y.os_disco,
       s.packets, s.first_seen,
       s.src, s.first_seen_ns, s.last_seen, s.bytes, s.backscatter, s.ports, n.size as platform_hosts, w.time_zone,
       case when f.known then 'known' when not f.known then 'observed' end as openness
from source_rows s
join platform_size n on n.platform = s.platform
left join a on a.platform = s.platform and a.sequence = s.sequence
left join focused f on f.platform = s.platform and f.ip = s.ip and f.src = s.src
left join stored_places w on w.platform = s.platform and w.ip = s.ip and w.day = s.day and w.source = 'best'
left join source_systems y on y.platform = s.platform and y.ip = s.ip and y.src = s.src
