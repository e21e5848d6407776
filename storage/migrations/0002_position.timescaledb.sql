-- TimescaleDB: one chunk a day, a terminal's rows together once they are compressed.

SELECT create_hypertable('position', by_range('time', INTERVAL '1 day'), create_default_indexes => false);

-- Chunks make themselves; the function is there so that a worker needs not know where it writes.
CREATE FUNCTION ensure_partitions(first date, last date) RETURNS SETOF date LANGUAGE sql AS 'SELECT NULL::date WHERE false';

-- Compression is not part of the Apache edition; there the table works without.
DO $$
BEGIN
    IF current_setting('timescaledb.license', true) = 'timescale' THEN
        ALTER TABLE position SET (
            timescaledb.compress,
            timescaledb.compress_segmentby = 'terminal',
            timescaledb.compress_orderby = 'time DESC'
        );
        PERFORM add_compression_policy('position', compress_after => INTERVAL '7 days');
    END IF;
END $$;
