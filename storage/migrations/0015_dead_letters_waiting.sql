-- How many dead letters wait to be replayed, by reason, is asked at every scrape of /metrics.
CREATE INDEX dead_letter_waiting ON dead_letter (reason) WHERE replayed_at IS NULL;
