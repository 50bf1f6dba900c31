"""The ledger's functions as they are since step 10: places that end, and time that comes back. Floor 3.

As in `functions`, but for this:

1. What is held (`h`) ends within an hour after the last lease, and is swept away where nothing stands in it:
   who is seen once, under a name of a client's own, leaves nothing for ever. The hour spares most
   reservations writing an end again.
2. Cells are kept for a day after they end: where the server's clock leaps ahead and comes back, they are
   there. What was counted while it was ahead counts on.
"""

from typing import Final

from turnout.stores.ledger.base import CELLS, FOREVER, KEPT_S

SPARED_S: Final = 3_600.0
PLACES: Final = f"""
CREATE OR REPLACE FUNCTION ledger_used(name TEXT, kind TEXT, x DOUBLE PRECISION, moment DOUBLE PRECISION)
RETURNS BIGINT LANGUAGE sql STABLE AS $$
    SELECT coalesce(sum(used), 0)::bigint FROM ledger_cells
    WHERE account = name AND (kind = 's' OR cell <= ledger_cell(kind, x, moment))
        AND cell >= ledger_cell(kind, x, moment) - CASE kind WHEN 's' THEN {CELLS} ELSE 0 END $$;

CREATE OR REPLACE FUNCTION ledger_reserve(
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
            WHERE c.account = accounts[i] AND (kinds[i] = 's' OR c.cell <= numbers[i])
                AND c.cell >= numbers[i] - CASE kinds[i] WHEN 's' THEN {CELLS} ELSE 0 END;
            RETURN;
        END IF;
    END LOOP;
    FOR i IN 1..n LOOP
        INSERT INTO ledger_cells AS c (account, cell, used, ends)
        VALUES (accounts[i], numbers[i], amounts[i], CASE kinds[i]
            WHEN 's' THEN (numbers[i] + {CELLS + 1}) * begins[i] / {CELLS}
            WHEN 'h' THEN moment + lease + {SPARED_S} ELSE finishes[i] END)
        ON CONFLICT (account, cell) DO UPDATE SET used = c.used + excluded.used,
            ends = CASE WHEN kinds[i] = 'h' AND (c.ends < moment + lease OR c.ends >= {FOREVER})
                THEN excluded.ends ELSE c.ends END;
        totals[i] := totals[i] + amounts[i];
    END LOOP;
    INSERT INTO ledger_reservations (id, accounts, cells, amounts, held, ends)
    VALUES (name, accounts, numbers, amounts, ARRAY(SELECT kind = 'h' FROM unnest(kinds) AS kind),
        moment + lease);
END $$;

CREATE OR REPLACE FUNCTION ledger_sweep(given DOUBLE PRECISION) RETURNS SETOF TEXT LANGUAGE plpgsql AS $$
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
    -- Cell 0 is what is held: never while something stands in it. A row is looked at again once it is locked.
    DELETE FROM ledger_cells WHERE (account, cell) IN (
        SELECT account, cell FROM ledger_cells WHERE ends <= moment - {KEPT_S} AND (cell <> 0 OR used = 0)
        LIMIT 5000 FOR UPDATE SKIP LOCKED);
END $$;

-- Of the release before: places that nobody holds were kept for ever.
UPDATE ledger_cells SET ends = extract(epoch FROM now()) + {SPARED_S}
    WHERE account LIKE 'open:%' AND cell = 0 AND ends >= {FOREVER};
"""  # noqa: S608  constants
