-- Alarms of other kinds than an entry: found quickly by what they are open once for; digests; events that two districts see.

CREATE INDEX alarm_of_kind ON alarm (kind, subject, id DESC) WHERE kind <> 'zone_entry';
CREATE INDEX alarm_copied ON alarm (copied_to, id DESC) WHERE copied_to IS NOT NULL;
CREATE INDEX alarm_digested ON alarm (district, digested_at DESC) WHERE digested_at IS NOT NULL;
CREATE INDEX machine_cancelled ON machine (id) WHERE status = 'cancelled';
CREATE INDEX binding_open ON binding (machine, device) WHERE upper_inf(during);
CREATE INDEX terminal_quarantined ON terminal (quarantined_until) WHERE quarantined_until IS NOT NULL;

-- One event for both districts: who reads the whole city gets it once.
ALTER TABLE event ADD COLUMN copied_to text;   -- a second district that may see it

CREATE OR REPLACE FUNCTION emit_events(events jsonb) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(808);
    INSERT INTO event (kind, district, copied_to, data)
        SELECT e ->> 'kind', e ->> 'district', e ->> 'copied_to', e -> 'data'
        FROM jsonb_array_elements(events) WITH ORDINALITY AS t (e, place) ORDER BY place;
    PERFORM pg_notify('event', '');
END $$;

CREATE OR REPLACE FUNCTION emit_alarms(alarms bigint[], events jsonb DEFAULT '[]') RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM emit_events(
        (SELECT coalesce(jsonb_agg(jsonb_build_object('kind', 'alarm', 'district', district, 'copied_to', copied_to,
                                                      'data', document) ORDER BY id), '[]')
         FROM alarm_view WHERE id = ANY (alarms)) || events
    );
END $$;
