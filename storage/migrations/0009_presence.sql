-- Presences, visits made of them, alarms of several kinds, pages.

CREATE FUNCTION at_us(us bigint) RETURNS timestamptz LANGUAGE sql IMMUTABLE STRICT AS
$$ SELECT timestamptz 'epoch' + us * interval '1 microsecond' $$;
CREATE FUNCTION us_of(moment timestamptz) RETURNS bigint LANGUAGE sql IMMUTABLE STRICT AS
$$ SELECT (extract(epoch FROM moment) * 1000000)::bigint $$;

-- A stretch of one terminal's stay in one zone under one judgement; who stays while the judgement changes has several.
-- Every one is here, of allowed machines too: late data is judged from here on, and statistics are made of them.
CREATE TABLE presence (
    device         bigint NOT NULL,
    zone           bigint NOT NULL REFERENCES zone,
    began_at       timestamptz NOT NULL,       -- of this stretch
    entered_at     timestamptz NOT NULL,       -- of the stay: the first of the two fixes that confirmed it
    confirmed_at   timestamptz NOT NULL,       -- the fix that confirmed the stretch
    last_inside_at timestamptz NOT NULL,       -- true once it has ended; of one that goes on, when it was last written
    ended_at       timestamptz,                -- null: goes on
    end_reason     text CHECK (end_reason IN ('left', 'signal_lost', 'zone_ended', 'judged_anew')),
    cause          text NOT NULL,
    zone_version   int NOT NULL,
    machine        bigint REFERENCES machine,  -- null: the terminal sat on none, so nothing was judged
    verdict        text CHECK (verdict IN ('violation', 'allowed', 'exempt', 'unknown')),
    alarm          boolean NOT NULL,
    rule           jsonb,
    machine_snapshot jsonb,
    grade          text NOT NULL CHECK (grade IN ('working', 'parked', 'transport', 'unknown')),
    grade_at       timestamptz NOT NULL,       -- the first fix that had this grade, and its speed in 0.1 km/h
    grade_speed    int NOT NULL,
    late           boolean NOT NULL,           -- it was confirmed by a late fix
    lon            int NOT NULL,               -- of the fix that confirmed, 1e-6 degrees
    lat            int NOT NULL,
    received_at    timestamptz NOT NULL,
    epoch          bigint NOT NULL,            -- of the ruleset that judged it
    PRIMARY KEY (device, zone, began_at),
    CHECK ((ended_at IS NULL) = (end_reason IS NULL))
);
CREATE INDEX presence_machine ON presence (machine, began_at) WHERE verdict <> 'allowed';
CREATE INDEX presence_open ON presence (zone) WHERE ended_at IS NULL;

-- A visit is a machine's: "{machine}-{entered_at}", with an s where it raised no alarm. One that late data moved keeps
-- its row and names its successor; one that late data disproved keeps its row and says since when.
ALTER TABLE visit
    ADD COLUMN alarming    boolean NOT NULL DEFAULT false,
    ADD COLUMN exit_reason text,
    ADD COLUMN district    text,               -- of the zone that leads
    ADD COLUMN copied_to   text,               -- the machine's own district, where it is another
    ADD COLUMN lon         int,                -- of the leading presence's confirming fix, 1e-6 degrees
    ADD COLUMN lat         int,
    ADD COLUMN received_at timestamptz,
    ADD COLUMN grade       text,               -- null: a visit of before presences were kept
    ADD COLUMN grade_at    timestamptz,
    ADD COLUMN grade_speed int,
    ADD COLUMN late        boolean NOT NULL DEFAULT false,
    ADD COLUMN withdrawn_at timestamptz,
    ADD COLUMN made_at     timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN changed_at  timestamptz NOT NULL DEFAULT now(),
    ADD CONSTRAINT visit_one_at_a_time EXCLUDE USING gist (
        int8range(machine, machine, '[]') WITH &&, tstzrange(entered_at, exited_at) WITH &&
    ) WHERE (alarming AND merged_into IS NULL AND withdrawn_at IS NULL) DEFERRABLE INITIALLY DEFERRED;
CREATE INDEX visit_machine ON visit (machine, entered_at);

ALTER TABLE alarm
    ALTER COLUMN visit DROP NOT NULL,
    ALTER COLUMN zone DROP NOT NULL,
    ALTER COLUMN zone_version DROP NOT NULL,
    ALTER COLUMN lon DROP NOT NULL,
    ALTER COLUMN lat DROP NOT NULL,
    ADD COLUMN subject     text,               -- of a kind without a visit: what it is open once for
    ADD COLUMN detail      jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN cause       text NOT NULL DEFAULT 'crossing',
    ADD COLUMN exit_reason text,
    ADD COLUMN copied_to   text,
    ADD COLUMN grade_at    timestamptz,
    ADD COLUMN grade_speed int,
    ADD COLUMN notice      text NOT NULL DEFAULT 'page' CHECK (notice IN ('page', 'digest')),
    ADD COLUMN paged_at    timestamptz,        -- receipt of the fix that paged
    ADD COLUMN page_reason text CHECK (page_reason IN ('prompt', 'delayed', 'after_late_data')),
    ADD COLUMN digested_at timestamptz,
    ADD COLUMN merged_into bigint REFERENCES alarm,
    ADD COLUMN withdrawn_at timestamptz;
-- Without a visit for a moment only: while a merged or withdrawn alarm exchanges its visit with one that goes on.
ALTER TABLE alarm
    ADD CHECK (kind <> 'zone_entry' OR visit IS NOT NULL OR merged_into IS NOT NULL OR withdrawn_at IS NOT NULL),
    ADD CHECK (kind = 'zone_entry' OR subject IS NOT NULL);
-- By construction: one open zone alarm per machine, one open alarm of another kind per subject.
CREATE UNIQUE INDEX alarm_one_open ON alarm (machine)
    WHERE kind = 'zone_entry' AND exited_at IS NULL AND merged_into IS NULL AND withdrawn_at IS NULL;
CREATE UNIQUE INDEX alarm_one_of_kind ON alarm (kind, subject) WHERE kind <> 'zone_entry' AND exited_at IS NULL;
CREATE INDEX alarm_machine ON alarm (machine, id DESC);
CREATE INDEX alarm_digest ON alarm (created_at) WHERE notice = 'digest' AND digested_at IS NULL;

-- What was open is ended where it was last seen: who is still inside is told anew, in the way of this migration.
UPDATE visit SET exited_at = last_inside_at, exit_reason = 'signal_lost' WHERE exited_at IS NULL;
UPDATE alarm a SET exited_at = v.exited_at, paged_at = a.received_at, page_reason = 'prompt'
    FROM visit v WHERE v.id = a.visit AND a.exited_at IS NULL;
DELETE FROM worker_track;

ALTER TABLE event DROP CONSTRAINT event_kind_check, ADD CHECK (kind IN ('alarm', 'terminal', 'digest'));

DROP VIEW alarm_view;
CREATE VIEW alarm_view AS
SELECT
    a.id, a.kind, a.state, a.grade, a.late, a.district, a.copied_to, a.machine, a.device, a.zone, a.visit,
    a.entered_at, a.created_at, a.merged_into, t.phone AS terminal_phone,
    jsonb_build_object(
        'id', a.id,
        'kind', a.kind,
        'state', a.state,
        'grade', a.grade,
        'grade_reason', CASE WHEN a.grade_at IS NOT NULL THEN jsonb_build_object(
            'at', iso8601(a.grade_at), 'engine_on', a.grade = 'working', 'speed_kmh', (a.grade_speed / 10.0)::float8) END,
        'late', a.late,
        'cause', a.cause,
        'notice', a.notice,
        'paged_at', iso8601(a.paged_at),
        'page_reason', a.page_reason,
        'district', a.district,
        'copied_to', a.copied_to,
        'machine', CASE WHEN a.machine IS NOT NULL THEN jsonb_build_object(
            'id', a.machine,
            'registration_number', coalesce(v.machine_snapshot ->> 'registration_number', m.registration_number),
            'machine_type', coalesce(v.machine_snapshot ->> 'machine_type', m.machine_type),
            'registration_type', coalesce(v.machine_snapshot ->> 'registration_type', m.registration_type),
            'emission_stage', coalesce(v.machine_snapshot ->> 'emission_stage', m.emission_stage),
            'district', coalesce(v.machine_snapshot ->> 'district', m.district)
        ) END,
        'terminal_phone', coalesce(t.phone, v.machine_snapshot ->> 'phone'),
        'zone', CASE WHEN a.zone IS NOT NULL THEN
            jsonb_build_object('id', a.zone, 'name', z.name, 'tier', z.tier, 'version', a.zone_version) END,
        'zone_version', a.zone_version,
        'verdict', v.verdict,
        'rule', a.rule,
        'visit', a.visit,
        'detail', a.detail,
        'longitude', (a.lon / 1e6)::float8,
        'latitude', (a.lat / 1e6)::float8,
        'entered_at', iso8601(a.entered_at),
        'confirmed_at', iso8601(a.confirmed_at),
        'exited_at', iso8601(a.exited_at),
        'exit_reason', a.exit_reason,
        'received_at', iso8601(a.received_at),
        'merged_into', a.merged_into,
        'withdrawn_at', iso8601(a.withdrawn_at),
        'created_at', iso8601(a.created_at)
    ) AS document
FROM alarm a
LEFT JOIN visit v ON v.id = a.visit
LEFT JOIN machine m ON m.id = a.machine
LEFT JOIN terminal t ON t.device = a.device
LEFT JOIN zone_version z ON z.zone = a.zone AND z.version = a.zone_version;
