"""The ledger's steps as functions of the database: one round trip each. Floor 3.

Theory of operation.

1. Whoever changes accounts first locks their names, in one order for all, until the end of the transaction.
   So calls on one account come one after the other, and no two wait for each other. Statements after that see
   all that was committed before (`READ COMMITTED`), and the time is read only then: it never runs backwards
   for an account.
2. `settle` and `sweep` lock reservations before accounts, `sweep` without waiting for any; `reserve` and
   `reset` wait for no reservation. So there is no circle.
3. Kinds of spans: `f` from an instant to another, `s` the last so many seconds, `h` held.
"""

from typing import Final

from turnout.stores.ledger.base import CELLS, KEPT_S

LEDGER_FUNCTIONS: Final = f"""
CREATE FUNCTION ledger_now(given DOUBLE PRECISION) RETURNS DOUBLE PRECISION LANGUAGE sql VOLATILE AS $$
    SELECT coalesce(given, extract(epoch FROM clock_timestamp())::double precision) $$;

CREATE FUNCTION ledger_lock(names TEXT[]) RETURNS VOID LANGUAGE plpgsql AS $$
DECLARE one INTEGER;
BEGIN
    FOR one IN SELECT DISTINCT hashtext(name) FROM unnest(names) AS name ORDER BY 1 LOOP
        PERFORM pg_advisory_xact_lock(1953857902, one);
    END LOOP;
END $$;

CREATE FUNCTION ledger_cell(kind TEXT, x DOUBLE PRECISION, moment DOUBLE PRECISION) RETURNS BIGINT
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE kind WHEN 's' THEN floor(moment / x * {CELLS})::bigint
        WHEN 'f' THEN floor(x)::bigint ELSE 0::bigint END $$;

CREATE FUNCTION ledger_used(name TEXT, kind TEXT, x DOUBLE PRECISION, moment DOUBLE PRECISION)
RETURNS BIGINT LANGUAGE sql STABLE AS $$
    SELECT coalesce(sum(used), 0)::bigint FROM ledger_cells
    WHERE account = name AND cell <= ledger_cell(kind, x, moment)
        AND cell >= ledger_cell(kind, x, moment) - CASE kind WHEN 's' THEN {CELLS} ELSE 0 END $$;

CREATE FUNCTION ledger_reserve(
    name TEXT, accounts TEXT[], kinds TEXT[], begins DOUBLE PRECISION[], finishes DOUBLE PRECISION[],
    amounts BIGINT[], limits BIGINT[], lease DOUBLE PRECISION, given DOUBLE PRECISION,
    OUT outcome TEXT, OUT place INTEGER, OUT totals BIGINT[], OUT moment DOUBLE PRECISION,
    OUT cells BIGINT[], OUT cell_amounts BIGINT[])
LANGUAGE plpgsql AS $$
DECLARE
    n INTEGER := cardinality(accounts);
    numbers BIGINT[] := '{{}}';
BEGIN
    PERFORM ledger_lock(accounts);
    moment := ledger_now(given);
    totals := '{{}}';
    FOR i IN 1..n LOOP
        IF kinds[i] = 'f' AND (moment < begins[i] OR moment >= finishes[i]) THEN
            outcome := 'skewed';
            RETURN;
        END IF;
    END LOOP;
    FOR i IN 1..n LOOP
        numbers[i] := ledger_cell(kinds[i], begins[i], moment);
        totals[i] := ledger_used(accounts[i], kinds[i], begins[i], moment);
    END LOOP;
    outcome := 'granted';
    IF EXISTS (SELECT 1 FROM ledger_reservations WHERE id = name) THEN
        RETURN;
    END IF;
    FOR i IN 1..n LOOP
        IF limits[i] IS NOT NULL AND totals[i] + amounts[i] > limits[i] THEN
            outcome := 'refused';
            place := i - 1;
            SELECT coalesce(array_agg(c.cell ORDER BY c.cell), '{{}}'),
                coalesce(array_agg(c.used ORDER BY c.cell), '{{}}')
            INTO cells, cell_amounts FROM ledger_cells c
            WHERE c.account = accounts[i] AND c.cell <= numbers[i]
                AND c.cell >= numbers[i] - CASE kinds[i] WHEN 's' THEN {CELLS} ELSE 0 END;
            RETURN;
        END IF;
    END LOOP;
    FOR i IN 1..n LOOP
        INSERT INTO ledger_cells AS c (account, cell, used, ends)
        VALUES (accounts[i], numbers[i], amounts[i], CASE kinds[i]
            WHEN 's' THEN (numbers[i] + {CELLS + 1}) * begins[i] / {CELLS} ELSE finishes[i] END)
        ON CONFLICT (account, cell) DO UPDATE SET used = c.used + excluded.used;
        totals[i] := totals[i] + amounts[i];
    END LOOP;
    INSERT INTO ledger_reservations (id, accounts, cells, amounts, held, ends)
    VALUES (name, accounts, numbers, amounts, ARRAY(SELECT kind = 'h' FROM unnest(kinds) AS kind),
        moment + lease);
END $$;

CREATE FUNCTION ledger_settle(name TEXT, used_amounts BIGINT[]) RETURNS BOOLEAN LANGUAGE plpgsql AS $$
DECLARE found_one ledger_reservations%ROWTYPE;
BEGIN
    SELECT * INTO found_one FROM ledger_reservations WHERE id = name FOR UPDATE;
    IF NOT FOUND THEN
        RETURN FALSE;
    END IF;
    IF cardinality(used_amounts) <> cardinality(found_one.accounts) THEN
        RAISE EXCEPTION 'as many amounts as takes are needed';
    END IF;
    PERFORM ledger_lock(found_one.accounts);
    FOR i IN 1..cardinality(found_one.accounts) LOOP
        UPDATE ledger_cells SET used = used + CASE
            WHEN NOT found_one.held[i] THEN used_amounts[i] - found_one.amounts[i]
            WHEN found_one.swept THEN 0 ELSE -found_one.amounts[i] END
        WHERE account = found_one.accounts[i] AND cell = found_one.cells[i];
    END LOOP;
    DELETE FROM ledger_reservations WHERE id = name;
    RETURN TRUE;
END $$;

CREATE FUNCTION ledger_sweep(given DOUBLE PRECISION) RETURNS SETOF TEXT LANGUAGE plpgsql AS $$
DECLARE
    moment DOUBLE PRECISION := ledger_now(given);
    ids TEXT[] := ARRAY(SELECT id FROM ledger_reservations WHERE ends <= moment
        ORDER BY ends LIMIT 1000 FOR UPDATE SKIP LOCKED);
BEGIN
    DELETE FROM ledger_reservations WHERE id = ANY (ids) AND swept;
    PERFORM ledger_lock(ARRAY(SELECT u.account FROM ledger_reservations r,
        unnest(r.accounts, r.held) AS u (account, held) WHERE r.id = ANY (ids) AND u.held));
    UPDATE ledger_cells c SET used = c.used - back.amount FROM (
        SELECT u.account, u.cell, sum(u.amount)::bigint AS amount FROM ledger_reservations r,
            unnest(r.accounts, r.cells, r.amounts, r.held) AS u (account, cell, amount, held)
        WHERE r.id = ANY (ids) AND u.held GROUP BY 1, 2) back
    WHERE c.account = back.account AND c.cell = back.cell;
    RETURN QUERY UPDATE ledger_reservations SET swept = TRUE, ends = moment + {KEPT_S}
        WHERE id = ANY (ids) RETURNING id;
    DELETE FROM ledger_cells WHERE (account, cell) IN (
        SELECT account, cell FROM ledger_cells WHERE ends <= moment LIMIT 5000 FOR UPDATE SKIP LOCKED);
END $$;

CREATE FUNCTION ledger_reset(names TEXT[]) RETURNS VOID LANGUAGE plpgsql AS $$
BEGIN
    PERFORM ledger_lock(names);
    UPDATE ledger_cells SET used = 0 WHERE account = ANY (names);
    UPDATE ledger_cells c SET used = c.used + open.amount FROM (
        SELECT u.account, u.cell, sum(u.amount)::bigint AS amount FROM ledger_reservations r,
            unnest(r.accounts, r.cells, r.amounts) AS u (account, cell, amount)
        WHERE NOT r.swept AND u.account = ANY (names) GROUP BY 1, 2) open
    WHERE c.account = open.account AND c.cell = open.cell;
END $$;
"""  # noqa: S608  constants
