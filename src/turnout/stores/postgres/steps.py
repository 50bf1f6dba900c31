"""The steps by which the database came to its present form. Floor 3.

A step that was released is never changed: its digest is kept in the database, and another one is refused.
What must change comes as a further step. A step must leave the release before it able to run, as replicas are
replaced one by one: columns and tables are added first, and taken away a release later.
"""

from typing import Final

from msgspec import Struct

from turnout.stores.postgres.functions import LEDGER_FUNCTIONS
from turnout.stores.postgres.names import SCHEMA as VALUES
from turnout.stores.postgres.places import PLACES
from turnout.stores.postgres.spend import WHOLE
from turnout.stores.postgres.sums import SCHEMA as SUMS
from turnout.stores.postgres.usage import LATER
from turnout.stores.postgres.usage import SCHEMA as USAGE
from turnout.stores.postgres.within import SCHEMA as WITHIN


class Step(Struct, frozen=True):
    """One change of the database."""

    number: int
    name: str
    sql: str


JOURNAL: Final = """
CREATE TABLE journal (
    seq BIGINT PRIMARY KEY, request_id TEXT NOT NULL UNIQUE, at_us BIGINT NOT NULL,
    model TEXT, provider TEXT, route TEXT, strategy TEXT, error TEXT,
    cost_nusd BIGINT, n_input BIGINT, n_output BIGINT, ttft_s DOUBLE PRECISION, total_s DOUBLE PRECISION,
    project TEXT, principal TEXT, n_attempts INTEGER, n_fallbacks INTEGER, record BYTEA NOT NULL);
-- Taken with the row locked, so that numbers are in the order of commits, whoever writes.
CREATE TABLE journal_last (value BIGINT NOT NULL);
INSERT INTO journal_last VALUES (0);
CREATE INDEX journal_at ON journal (at_us, seq);
CREATE INDEX journal_model ON journal (model, at_us);
CREATE INDEX journal_provider ON journal (provider, at_us);
CREATE INDEX journal_route ON journal (route, at_us);
CREATE INDEX journal_project ON journal (project, at_us);
CREATE INDEX journal_error ON journal (at_us, seq, error) WHERE error IS NOT NULL;
CREATE TABLE journal_unreadable (digest BYTEA PRIMARY KEY, payload BYTEA NOT NULL);
"""

LEDGER: Final = """
CREATE TABLE ledger_cells (
    account TEXT NOT NULL, cell BIGINT NOT NULL, used BIGINT NOT NULL, ends DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (account, cell)) WITH (fillfactor = 50);
CREATE INDEX ledger_cells_ends ON ledger_cells (ends);
CREATE TABLE ledger_reservations (
    id TEXT PRIMARY KEY, accounts TEXT[] NOT NULL, cells BIGINT[] NOT NULL, amounts BIGINT[] NOT NULL,
    held BOOLEAN[] NOT NULL, ends DOUBLE PRECISION NOT NULL, swept BOOLEAN NOT NULL DEFAULT FALSE);
CREATE INDEX ledger_reservations_ends ON ledger_reservations (ends);
"""

DESK: Final = """
CREATE TABLE desk_documents (
    kind TEXT NOT NULL, id TEXT COLLATE "C" NOT NULL, organisation TEXT, body BYTEA NOT NULL,
    version BIGINT NOT NULL, PRIMARY KEY (kind, id));
CREATE INDEX desk_documents_organisation ON desk_documents (kind, organisation, id);
CREATE TABLE desk_audit (
    organisation TEXT NOT NULL, seq BIGINT NOT NULL, act BYTEA NOT NULL, previous TEXT NOT NULL,
    hash TEXT NOT NULL, PRIMARY KEY (organisation, seq));
CREATE TABLE desk_revision (value BIGINT NOT NULL);
INSERT INTO desk_revision VALUES (0);
CREATE FUNCTION desk_audit_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'the audit log is only added to'; END $$;
CREATE TRIGGER desk_audit_stays BEFORE UPDATE OR DELETE ON desk_audit
    FOR EACH ROW EXECUTE FUNCTION desk_audit_stays();
CREATE TRIGGER desk_audit_whole BEFORE TRUNCATE ON desk_audit
    FOR EACH STATEMENT EXECUTE FUNCTION desk_audit_stays();
"""

OWNERS: Final = """
-- Rows written before have none: whoever asks for one organisation is not shown them.
ALTER TABLE journal ADD COLUMN organisation TEXT, ADD COLUMN team TEXT, ADD COLUMN customer TEXT;
CREATE INDEX journal_organisation ON journal (organisation, at_us);
CREATE INDEX journal_principal ON journal (principal, at_us);
"""

SEARCHED: Final = """
ALTER TABLE journal ADD COLUMN tags TEXT, ADD COLUMN words TSVECTOR, ADD COLUMN has_text BOOLEAN;
CREATE INDEX journal_customer ON journal (customer, at_us, cost_nusd);
CREATE INDEX journal_id ON journal (request_id COLLATE "C");
CREATE INDEX journal_team ON journal (team, at_us);
-- By the day, so that new rows go to one place of it.
CREATE INDEX journal_dearest ON journal ((at_us / 86400000000), cost_nusd DESC) WHERE cost_nusd IS NOT NULL;
CREATE INDEX journal_words ON journal USING gin (words);
-- Rows of before may hold text: nobody noted it.
CREATE INDEX journal_text ON journal (project, at_us) WHERE has_text IS NOT FALSE;
"""

FEEDBACK: Final = """
CREATE TABLE feedback (
    seq BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, id TEXT NOT NULL UNIQUE, request_id TEXT NOT NULL,
    at_us BIGINT NOT NULL, asked_us BIGINT NOT NULL, kind TEXT NOT NULL, score DOUBLE PRECISION,
    chance DOUBLE PRECISION NOT NULL, route TEXT, organisation TEXT, project TEXT, customer TEXT,
    has_text BOOLEAN NOT NULL, body BYTEA NOT NULL);
CREATE INDEX feedback_at ON feedback (at_us, seq);
CREATE INDEX feedback_request ON feedback (request_id);
CREATE INDEX feedback_route ON feedback (route, asked_us);
CREATE INDEX feedback_customer ON feedback (customer) WHERE customer IS NOT NULL;
"""

_FAILED: Final = """
CREATE INDEX journal_failed_{name} ON journal ({name}, at_us, seq, error) WHERE error IS NOT NULL;"""
_PRICED: Final = """
DROP INDEX journal_{name};
CREATE INDEX journal_{name} ON journal ({name}, at_us, seq, cost_nusd);"""
MONTHS: Final = (
    """
-- Failures are few: who had them stands beside them, and who has many of the others finds its own.
DROP INDEX journal_error;
CREATE INDEX journal_error ON journal (at_us, seq, error, organisation, project, team, principal, customer,
    route, model, provider) WHERE error IS NOT NULL;"""
    + "".join(_FAILED.format(name=name) for name in ("organisation", "principal", "customer"))
    + """
-- With the cost: the dearest of somebody are found in the index."""
    + "".join(
        _PRICED.format(name=name)
        for name in ("organisation", "project", "team", "principal", "customer", "route", "model", "provider")
    )
    + LATER
    + WHOLE
)

ERASURES: Final = """
-- How often somebody became nobody: whoever remembers numbers of names forgets them then.
CREATE TABLE journal_erasures (n BIGINT NOT NULL);
INSERT INTO journal_erasures VALUES (0);
"""

IDS: Final = """
-- Ids are compared by their bytes: one index finds them, and what begins with so and so.
DROP INDEX journal_id;
ALTER TABLE journal ALTER COLUMN request_id TYPE TEXT COLLATE "C";
"""

DEAREST: Final = """
-- With all that orders and bounds them: the dearest of days are found without their rows.
DROP INDEX journal_dearest;
CREATE INDEX journal_dearest ON journal ((at_us / 86400000000), cost_nusd DESC, seq DESC) INCLUDE (at_us)
    WHERE cost_nusd IS NOT NULL;
-- The same of each model: those of a cheap one stand behind all others of a day.
CREATE INDEX journal_dearest_model ON journal (model, (at_us / 86400000000), cost_nusd DESC, seq DESC)
    INCLUDE (at_us) WHERE cost_nusd IS NOT NULL;
"""

STEPS: Final = (
    Step(1, "journal", JOURNAL),
    Step(2, "ledger", LEDGER + LEDGER_FUNCTIONS),
    Step(3, "desk", DESK),
    Step(4, "owners", OWNERS),
    Step(5, "usage", SUMS + USAGE + SEARCHED),
    Step(6, "feedback", FEEDBACK),
    Step(7, "months", MONTHS),
    Step(8, "erasures", ERASURES),
    Step(9, "ids", IDS),
    Step(10, "places", PLACES),
    Step(11, "dearest", DEAREST),
    Step(12, "within", WITHIN + VALUES),
)
