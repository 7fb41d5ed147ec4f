-- Every fingerprint with the source that it belongs to.
select p.*, d.src
from stored_fingerprints p join source_days d on p.platform = d.platform and p.ip = d.ip and p.day = d.day
