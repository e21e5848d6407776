-- Counts the sessions that have taken the partition. Who was overtaken writes nothing more, whatever became of its lock.
ALTER TABLE log_offset ADD COLUMN owner bigint NOT NULL DEFAULT 0;
