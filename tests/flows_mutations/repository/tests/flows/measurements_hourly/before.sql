CREATE TABLE measurements (
    id integer PRIMARY KEY, station text NOT NULL, taken_at timestamptz NOT NULL,
    celsius numeric(4, 1)
);
CREATE TABLE totals (station text PRIMARY KEY, number integer NOT NULL);
-- One that the API has corrected since, one of a station that measures no more, and its total.
INSERT INTO measurements VALUES
    (1, 'north', '2026-01-01T00:00:00Z', 99.9), (90, 'old', '2025-01-01T00:00:00Z', 7.0);
INSERT INTO totals VALUES ('old', 1);
