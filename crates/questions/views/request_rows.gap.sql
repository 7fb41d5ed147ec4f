-- Every message with the source that it belongs to.
select p.*, d.src
from stored_requests p join source_days d on p.platform = d.platform and p.ip = d.ip and p.day = d.day
