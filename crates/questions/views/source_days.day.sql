-- Which source a day of an address belongs to. Day rule: every UTC day is a source of its own.
select platform, ip, day, cast(day as int) as src
from stored_sources
