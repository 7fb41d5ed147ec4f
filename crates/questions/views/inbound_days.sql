-- Days with inbound packets, replies included.
select day from stored_sources union select day from stored_replies
