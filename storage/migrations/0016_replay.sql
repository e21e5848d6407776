-- A dead letter that is being replayed: which batch of the log it is, written before that is appended. So it is appended again
-- after a crash as what it was, and the worker, which has seen the number, takes it once.
ALTER TABLE dead_letter
    ADD COLUMN replay_boot      text,
    ADD COLUMN replay_partition int,
    ADD COLUMN replay_number    int;
CREATE INDEX dead_letter_pending ON dead_letter (id) WHERE replay_boot IS NOT NULL AND replayed_at IS NULL;
