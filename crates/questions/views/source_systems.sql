-- The system of each source by each database: the label that most of its SYN packets have; of several with as many the one that
-- fits better, then the first as text.
with votes as (
  select platform, ip, src, tool, label, sum(packets) as packets,
         min(case quality when 'exact' then 0 when 'generic' then 1 else 2 end) as quality
  from fingerprint_rows
  where packet = 'syn' and label is not null and tool <> 'invariants'
  group by platform, ip, src, tool, label),
ranked as (
  select *, row_number() over (partition by platform, ip, src, tool order by packets desc, quality, label) as place
  from votes)
select platform, ip, src,
       coalesce(max(case when tool = 'p0f3' then label end), max(case when tool = 'trapline' then label end)) as os_p0f,
       max(case when tool = 'disco' then label end) as os_disco
from ranked where place = 1
group by platform, ip, src
