-- What terminals say besides positions, files and their own sessions: answers, events, drivers, passed-through data.

CREATE TABLE terminal_message (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    device   bigint      NOT NULL,
    message  int         NOT NULL,             -- its id, 0x0702 as a number
    serial   int         NOT NULL,
    received timestamptz NOT NULL,
    edition  text        NOT NULL,             -- whose layout the body has; where it does not read, the session's
    body     bytea       NOT NULL,             -- as sent, its parts put together
    said     jsonb,                            -- the body's values
    reason   text                              -- why there are none: english | 中文
);
-- Was it sent again (storage/terminal_messages.py)? An exclusion constraint would say so too, for five times the cost of all.
CREATE INDEX terminal_message_resent ON terminal_message (device, message, serial, received);
CREATE INDEX terminal_message_device_received ON terminal_message (device, received, id);
CREATE INDEX terminal_message_kind ON terminal_message (device, message, received, id);
