-- Batches that the log lost, given up by `lezgate log accept-loss`: what is missing before this sequence stops nobody.
ALTER TABLE log_offset ADD COLUMN accepted bigint NOT NULL DEFAULT 0;
