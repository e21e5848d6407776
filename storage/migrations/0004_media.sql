-- What terminals recorded (0x0801): pictures, sounds, videos. The bytes are in the blob store, by their SHA-256.

-- A row is an upload; a terminal that sends it again (it did not hear 0x8800) sends the same one.
CREATE TABLE media (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    device   bigint      NOT NULL,
    media_id bigint      NOT NULL,             -- the terminal's own number, unsigned 32 bits; it may count from 0 again
    sha256   text        NOT NULL,             -- of the data, 64 hexadecimal digits: its name in the blob store
    size     bigint      NOT NULL,             -- bytes
    kind     smallint    NOT NULL,             -- 0 image, 1 audio, 2 video; others are reserved
    format   smallint    NOT NULL,             -- 0 JPEG, 1 TIF, 2 MP3, 3 WAV, 4 WMV; others are reserved
    trigger  smallint    NOT NULL,             -- 0 command, 1 timer, 2 robbery, 3 collision, ... (table 80 of 2013)
    channel  smallint    NOT NULL,
    received timestamptz NOT NULL,
    time     timestamptz,                      -- of the device, in the report within; null where that is no time
    lon      int,                              -- 1e-6 degrees; null without a fix
    lat      int,
    at       timestamptz NOT NULL GENERATED ALWAYS AS (coalesce(time, received)) STORED,
    UNIQUE NULLS NOT DISTINCT (device, media_id, sha256, time)
);
CREATE INDEX media_device_at ON media (device, at, id);
CREATE INDEX media_sha256 ON media (sha256);
