-- Platforms and days with inbound packets, replies included.
select platform, day from stored_sources union select platform, day from stored_replies
