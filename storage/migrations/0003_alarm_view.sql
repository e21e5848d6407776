-- What an alarm looks like to everybody: one JSON document, the same in the API, on the stream and in an export.

-- ISO 8601 with offset whatever the session's time zone is: 2026-03-01T08:00:00+00:00.
CREATE FUNCTION iso8601(moment timestamptz) RETURNS text LANGUAGE sql STABLE STRICT AS
$$ SELECT (to_jsonb(moment AT TIME ZONE 'UTC') #>> '{}') || '+00:00' $$;

-- The machine is shown as it was judged (the visit's snapshot); the table fills what a snapshot does not hold.
CREATE VIEW alarm_view AS
SELECT
    a.id, a.kind, a.state, a.grade, a.late, a.district, a.machine, a.device, a.zone, a.visit,
    a.entered_at, a.created_at, t.phone AS terminal_phone,
    jsonb_build_object(
        'id', a.id,
        'kind', a.kind,
        'state', a.state,
        'grade', a.grade,
        'late', a.late,
        'district', a.district,
        'machine', jsonb_build_object(
            'id', a.machine,
            'registration_number', coalesce(v.machine_snapshot ->> 'registration_number', m.registration_number),
            'machine_type', coalesce(v.machine_snapshot ->> 'machine_type', m.machine_type),
            'registration_type', coalesce(v.machine_snapshot ->> 'registration_type', m.registration_type),
            'emission_stage', coalesce(v.machine_snapshot ->> 'emission_stage', m.emission_stage),
            'district', coalesce(v.machine_snapshot ->> 'district', m.district)
        ),
        'terminal_phone', coalesce(t.phone, v.machine_snapshot ->> 'phone'),
        'zone', jsonb_build_object('id', a.zone, 'name', z.name, 'tier', z.tier, 'version', a.zone_version),
        'zone_version', a.zone_version,
        'rule', a.rule,
        'longitude', (a.lon / 1e6)::float8,
        'latitude', (a.lat / 1e6)::float8,
        'entered_at', iso8601(a.entered_at),
        'confirmed_at', iso8601(a.confirmed_at),
        'exited_at', iso8601(a.exited_at),
        'received_at', iso8601(a.received_at),
        'created_at', iso8601(a.created_at)
    ) AS document
FROM alarm a
JOIN visit v ON v.id = a.visit
LEFT JOIN machine m ON m.id = a.machine
LEFT JOIN terminal t ON t.device = a.device
LEFT JOIN zone_version z ON z.zone = a.zone AND z.version = a.zone_version;

-- The one way into the event table. Ids follow commit order because the lock is taken before an id is and is kept
-- until after the commit, so this must be the LAST statement of its transaction. The notice only wakes readers.
CREATE FUNCTION emit_events(events jsonb) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(808);
    INSERT INTO event (kind, district, data)
        SELECT e ->> 'kind', e ->> 'district', e -> 'data'
        FROM jsonb_array_elements(events) WITH ORDINALITY AS t (e, place) ORDER BY place;
    PERFORM pg_notify('event', '');
END $$;

-- One `alarm` event for each of these alarms, as they are now; events after them. Also the LAST statement.
CREATE FUNCTION emit_alarms(alarms bigint[], events jsonb DEFAULT '[]') RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM emit_events(
        (SELECT coalesce(jsonb_agg(jsonb_build_object('kind', 'alarm', 'district', district, 'data', document) ORDER BY id), '[]')
         FROM alarm_view WHERE id = ANY (alarms)) || events
    );
END $$;

-- Adds counters by name: {"checksum": 1} + {"checksum": 2, "length": 1} = {"checksum": 3, "length": 1}.
CREATE FUNCTION add_counts(a jsonb, b jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(jsonb_object_agg(key, total), '{}')
    FROM (SELECT key, sum(value::bigint) AS total
          FROM (SELECT * FROM jsonb_each_text(a) UNION ALL SELECT * FROM jsonb_each_text(b)) AS both_ GROUP BY key) AS sums
$$;
