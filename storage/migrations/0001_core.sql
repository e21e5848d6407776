-- The core: log offsets, registry, zones, positions, visits, alarms, events, accounts, audit.
-- Times are timestamptz (UTC); a terminal is named by its device number (columns.identity.device_of).

-- One row per partition of the log. The offset names its stream, so a database never follows a log it does not know.
CREATE TABLE log_offset (
    partition   int PRIMARY KEY,
    stream      text NOT NULL,                 -- name and creation time of the stream the offset counts in
    sequence    bigint NOT NULL DEFAULT 0,     -- last log sequence whose rows are in this database
    epoch       bigint NOT NULL DEFAULT 0,     -- ruleset epoch the last batch was decided with
    boots       jsonb NOT NULL DEFAULT '{}',   -- edge boot -> last batch number seen from it
    stored      bigint NOT NULL DEFAULT 0,     -- law 8: positions in = stored + duplicate + quarantined + rejected
    duplicate   bigint NOT NULL DEFAULT 0,
    quarantined bigint NOT NULL DEFAULT 0,
    rejected    jsonb NOT NULL DEFAULT '{}',   -- reason -> count
    updated_at  timestamptz NOT NULL DEFAULT now()
);

-- What a worker must remember between batches, with the sequence it is true for.
CREATE TABLE worker_snapshot (
    partition int PRIMARY KEY,
    sequence  bigint NOT NULL,
    version   int NOT NULL,
    state     bytea NOT NULL,
    taken_at  timestamptz NOT NULL DEFAULT now()
);

-- Stays and open visits of the terminals in or near a zone, written in the commit that changed them: never decided twice.
CREATE TABLE worker_track (
    partition int NOT NULL,
    device    bigint NOT NULL,
    track     jsonb NOT NULL,
    PRIMARY KEY (partition, device)
);

-- Zones, rules, machines, bindings and stages as the workers see them: any change takes the next epoch.
CREATE TABLE ruleset (
    one   boolean PRIMARY KEY DEFAULT true CHECK (one),
    epoch bigint NOT NULL DEFAULT 1
);
INSERT INTO ruleset DEFAULT VALUES;

-- Who may edit a zone need not be allowed to write the epoch: the function does it as the schema's owner.
CREATE FUNCTION bump_epoch() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    UPDATE ruleset SET epoch = epoch + 1;
    PERFORM pg_notify('ruleset', '');
    RETURN NULL;
END $$;

CREATE TABLE district (
    code    text PRIMARY KEY,                  -- our own code
    gb_code text,                              -- GB/T 2260 where there is one
    name    text NOT NULL,
    level   text NOT NULL CHECK (level IN ('city', 'branch', 'township')),
    parent  text REFERENCES district
);

CREATE TABLE machine (
    id                  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    registration_number text UNIQUE,
    machine_type        text NOT NULL,
    registration_type   text NOT NULL DEFAULT 'machinery' CHECK (registration_type IN ('machinery', 'in_plant')),
    emission_stage      text NOT NULL DEFAULT 'unknown'
                        CHECK (emission_stage IN ('pre', '1', '2', '3', '4', 'x', 'electric', 'unknown')),
    power_kw            real,
    energy              text,
    district            text,
    owner_name          text,
    owner_phone         text,
    brand               text,
    model               text,
    created_at          timestamptz NOT NULL DEFAULT now(),
    updated_at          timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX machine_district ON machine (district);

CREATE TABLE terminal (
    device        bigint PRIMARY KEY,
    phone         text NOT NULL UNIQUE,        -- normalised: digits without leading zeros, or x + hex
    protocol      text NOT NULL DEFAULT 'jt808',
    edition       text,
    maker         text,
    model         text,
    terminal_id   text,
    state         text NOT NULL DEFAULT 'registered' CHECK (state IN ('registered', 'revoked')),
    generation    int NOT NULL DEFAULT 1,      -- of its authentication code; a new one revokes the old
    source        text NOT NULL DEFAULT 'registry' CHECK (source IN ('registry', 'open')),
    enrolled_at   timestamptz NOT NULL DEFAULT now()
);

-- Terminals that asked to register and were refused: staff bind them to a machine.
CREATE TABLE terminal_refused (
    phone      text PRIMARY KEY,
    edition    text, maker text, model text, terminal_id text, plate text,
    attempts   bigint NOT NULL DEFAULT 1,
    first_seen timestamptz NOT NULL DEFAULT now(),
    last_seen  timestamptz NOT NULL DEFAULT now()
);

-- Dated and exclusive: a terminal sits on one machine at a time (int8range spares an extension for bigint =).
CREATE TABLE binding (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    device  bigint NOT NULL REFERENCES terminal,
    machine bigint NOT NULL REFERENCES machine,
    during  tstzrange NOT NULL,
    EXCLUDE USING gist (int8range(device, device, '[]') WITH &&, during WITH &&)
);
CREATE INDEX binding_machine ON binding (machine);
CREATE INDEX binding_device ON binding (device);

CREATE TABLE zone (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- A published version never changes; a new one ends its predecessor.
CREATE TABLE zone_version (
    zone        bigint NOT NULL REFERENCES zone,
    version     int NOT NULL,
    name        text NOT NULL,
    district    text NOT NULL,
    tier        text NOT NULL CHECK (tier IN ('core', 'general')),
    state       text NOT NULL CHECK (state IN ('draft', 'active', 'retired')),
    doc_no      text,
    crs         text NOT NULL,                 -- of the source geometry
    source      jsonb NOT NULL,                -- GeoJSON geometry as it was handed in
    geometry    jsonb NOT NULL,                -- GeoJSON geometry in WGS-84, densified
    rules       jsonb NOT NULL,                -- [{"any_of": [{"stage_below": "3"}]}]
    guard_m     real NOT NULL DEFAULT 30,
    halo_m      real NOT NULL DEFAULT 30,
    unknown_policy text NOT NULL DEFAULT 'record' CHECK (unknown_policy IN ('record', 'alarm')),
    valid_from  timestamptz NOT NULL,
    valid_to    timestamptz,
    author      text NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (zone, version)
);
CREATE UNIQUE INDEX zone_version_active ON zone_version (zone) WHERE state = 'active';

-- A position's key is the report's identity: a resend is the same row. speed 0.1 km/h, lon and lat 1e-6 degrees,
-- mileage 0.1 km (-1: not reported), satellites -1: not reported; alarm and status are unsigned 32-bit words
-- stored as int4 (mask with & 4294967295::bigint). 0002_position decides how the table is cut by time.
CREATE TABLE position (
    terminal    bigint      NOT NULL,
    time        timestamptz NOT NULL,          -- of the device; of receipt where quality has bad-time (4)
    fingerprint bigint      NOT NULL,
    received    timestamptz NOT NULL,
    lon         int         NOT NULL,
    lat         int         NOT NULL,
    altitude    smallint    NOT NULL,
    speed       int         NOT NULL,
    course      int         NOT NULL,
    alarm       int         NOT NULL,
    status      int         NOT NULL,
    mileage     int         NOT NULL,
    satellites  smallint    NOT NULL,
    serial      int         NOT NULL,
    source      smallint    NOT NULL,
    quality     smallint    NOT NULL,
    extras      bytea       NOT NULL,
    PRIMARY KEY (terminal, time, fingerprint)
);

CREATE TABLE terminal_last (
    terminal bigint PRIMARY KEY,
    time     timestamptz NOT NULL,
    received timestamptz NOT NULL,
    lon      int NOT NULL,
    lat      int NOT NULL,
    speed    int NOT NULL,
    course   int NOT NULL,
    status   int NOT NULL,
    quality  smallint NOT NULL
);

CREATE TABLE dead_letter (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    partition int NOT NULL,
    sequence bigint NOT NULL,
    device   bigint NOT NULL,
    received timestamptz NOT NULL,
    reason   text NOT NULL,
    data     bytea NOT NULL
);

-- One stay of one machine in one or more overlapping zones. Its id is stable: device, zone, entry.
CREATE TABLE visit (
    id            text PRIMARY KEY,
    device        bigint NOT NULL,
    machine       bigint REFERENCES machine,
    zone          bigint NOT NULL REFERENCES zone,
    zone_version  int NOT NULL,
    verdict       text NOT NULL CHECK (verdict IN ('violation', 'allowed', 'exempt', 'unknown')),
    rule          jsonb,
    machine_snapshot jsonb NOT NULL,
    cause         text NOT NULL DEFAULT 'crossing',
    entered_at    timestamptz NOT NULL,
    confirmed_at  timestamptz NOT NULL,
    last_inside_at timestamptz NOT NULL,
    exited_at     timestamptz,
    merged_into   text REFERENCES visit,       -- a correction joined it to another; it stays as it was decided
    epoch         bigint NOT NULL              -- of the ruleset that decided it
);
CREATE INDEX visit_device ON visit (device, entered_at);

CREATE TABLE alarm (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    visit        text NOT NULL UNIQUE REFERENCES visit,
    kind         text NOT NULL DEFAULT 'zone_entry',
    district     text NOT NULL,
    machine      bigint REFERENCES machine,
    device       bigint NOT NULL,
    zone         bigint NOT NULL REFERENCES zone,
    zone_version int NOT NULL,
    rule         jsonb,
    grade        text NOT NULL DEFAULT 'unknown' CHECK (grade IN ('working', 'parked', 'transport', 'unknown')),
    state        text NOT NULL DEFAULT 'new'
                 CHECK (state IN ('new', 'assigned', 'accepted', 'in_progress', 'feedback', 'closed')),
    late         boolean NOT NULL DEFAULT false,
    lon          int NOT NULL,
    lat          int NOT NULL,
    entered_at   timestamptz NOT NULL,
    confirmed_at timestamptz NOT NULL,
    exited_at    timestamptz,
    received_at  timestamptz NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX alarm_state ON alarm (state, id DESC);
CREATE INDEX alarm_district ON alarm (district, id DESC);

-- Append-only: nobody edits, everybody adds.
CREATE TABLE alarm_action (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    alarm   bigint NOT NULL REFERENCES alarm,
    action  text NOT NULL,
    "from"  text NOT NULL,
    "to"    text NOT NULL,
    actor   text NOT NULL,
    note    text,
    payload jsonb NOT NULL DEFAULT '{}',
    at      timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX alarm_action_alarm ON alarm_action (alarm, id);

-- The live stream. Ids follow commit order: inserted last, under advisory transaction lock 808.
CREATE TABLE event (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind    text NOT NULL CHECK (kind IN ('alarm', 'terminal')),
    district text,                             -- who may see it; null: whole-city accounts only
    data    jsonb NOT NULL,
    at      timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE account (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    login      text NOT NULL UNIQUE,
    role       text NOT NULL,
    district   text,                           -- null: the whole city
    password   text,                           -- Argon2 or scrypt hash; null: tokens only
    state      text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'disabled')),
    created_at timestamptz NOT NULL DEFAULT now()
);

-- Bearer tokens, console sessions and one-time sign-in links, by the SHA-256 of their text.
CREATE TABLE token (
    hash       bytea PRIMARY KEY,
    kind       text NOT NULL CHECK (kind IN ('bearer', 'session', 'link')),
    name       text NOT NULL,
    account    bigint REFERENCES account,
    role       text NOT NULL,
    district   text,
    expires_at timestamptz,
    used_at    timestamptz,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE audit (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at       timestamptz NOT NULL DEFAULT now(),
    actor    text NOT NULL,
    role     text NOT NULL,
    action   text NOT NULL,
    object   text NOT NULL,
    purpose  text,
    detail   jsonb NOT NULL DEFAULT '{}',
    address  text
);

CREATE TRIGGER zone_version_epoch AFTER INSERT OR UPDATE OR DELETE ON zone_version FOR EACH STATEMENT EXECUTE FUNCTION bump_epoch();
CREATE TRIGGER machine_epoch AFTER INSERT OR UPDATE OR DELETE ON machine FOR EACH STATEMENT EXECUTE FUNCTION bump_epoch();
CREATE TRIGGER binding_epoch AFTER INSERT OR UPDATE OR DELETE ON binding FOR EACH STATEMENT EXECUTE FUNCTION bump_epoch();

-- The edges' registry: its version changes with what an edge must know of any terminal, and edges are woken.
CREATE TABLE registry (one boolean PRIMARY KEY DEFAULT true CHECK (one), version bigint NOT NULL DEFAULT 1);
INSERT INTO registry DEFAULT VALUES;

CREATE FUNCTION bump_registry() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    UPDATE registry SET version = version + 1;
    PERFORM pg_notify('registry', '');
    RETURN NULL;
END $$;

-- Workers insert every registration that they see; only those that add a row are news.
CREATE FUNCTION bump_registry_if_added() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    IF EXISTS (SELECT FROM added) THEN
        UPDATE registry SET version = version + 1;
        PERFORM pg_notify('registry', '');
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER terminal_added AFTER INSERT ON terminal REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION bump_registry_if_added();
CREATE TRIGGER terminal_changed AFTER UPDATE OF phone, state, generation OR DELETE ON terminal FOR EACH STATEMENT EXECUTE FUNCTION bump_registry();
