-- Which source a day of an address belongs to. Gap rule: the address stays one source until more than
-- 25 h pass between two packets. No gap inside one UTC day can be that long, so days merge exactly.
select platform, ip, day,
       sum(begins) over (partition by platform, ip order by day rows between unbounded preceding and current row) as src
from (
  select platform, ip, day,
         case when cast(first_seen as bigint) * 1000 + first_seen_ns
                   - lag(cast(last_seen as bigint) * 1000 + last_seen_ns) over (partition by platform, ip order by day)
                   > 90000000000000
              then 1 else 0 end as begins
  from stored_sources)
