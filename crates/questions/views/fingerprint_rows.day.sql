-- Every fingerprint with the source that it belongs to.
select *, cast(day as int) as src from stored_fingerprints
