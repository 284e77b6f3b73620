-- What is there before a run: flights of years and months that it must leave as they are, some of
-- one that it must replace, and a table that is not its own.
CREATE TABLE flights (
    "year" smallint NOT NULL, "month" smallint NOT NULL, "day" smallint NOT NULL,
    "dep_time" smallint, "sched_dep_time" smallint NOT NULL, "dep_delay" smallint,
    "arr_time" smallint, "sched_arr_time" smallint NOT NULL, "arr_delay" smallint,
    "carrier" text NOT NULL, "flight" integer NOT NULL, "tailnum" text, "origin" text NOT NULL,
    "dest" text NOT NULL, "air_time" smallint, "distance" integer NOT NULL,
    "hour" smallint NOT NULL, "minute" smallint NOT NULL, "time_hour" timestamptz NOT NULL
);
INSERT INTO flights VALUES
    (2012, 1, 1, 900, 900, 0, 1100, 1100, 0, 'DL', 1, 'N1', 'JFK', 'ATL', 100, 760, 9, 0,
     '2012-01-01T14:00:00Z'),
    (2013, 1, 9, 800, 800, 0, 1000, 1000, 0, 'UA', 2, 'N2', 'EWR', 'ORD', 110, 719, 8, 0,
     '2013-01-09T13:00:00Z'),
    (2013, 12, 31, 700, 700, 0, 900, 900, 0, 'AA', 3, 'N3', 'LGA', 'DFW', 200, 1389, 7, 0,
     '2013-12-31T12:00:00Z');
CREATE TABLE airports (faa text PRIMARY KEY, name text NOT NULL);
INSERT INTO airports VALUES ('EWR', 'Newark Liberty Intl'), ('JFK', 'John F Kennedy Intl');
