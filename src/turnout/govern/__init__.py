"""Governance as plain functions: what the admin API and the command line both call. Floor 5.

    office = Office(desk, peppers)                      what acts are done with: desk, peppers, clock, chance
    actor = Actor(id="key_1", role="admin", organisation="acme")        or `actor_of(principal, address)`

    from turnout.govern import keys, records
    shown, document = await keys.issue(office, actor, {"organisation": "acme", "name": "ci"})
    shown, document = await keys.rotate(office, actor, "key_…", overlap_s=86_400)
    document = await keys.revoke(office, actor, "key_…")            for good; `disabled` can be taken back

    document = await records.create(office, actor, "team", {"id": "red", "organisation": "acme"})
    document = await records.change(office, actor, "key", "key_…", {"disabled": True}, version=3)
    await records.remove(office, actor, "team", "red")
    document = await records.show(office, actor, "team", "red")
    page = await records.listing(office, actor, "key", organisation=None, after="", limit=100)
    records.view(document)                              as JSON, without digests and secrets

Kinds of `records`: organisation, project, team, customer, budget, quota; keys are made by `keys`, and
changed, shown and listed by `records` as the others. Fields are those of `types.account`; budgets and quotas
have those of the configuration (`BudgetConfig`, `QuotaConfig`) and `organisation`.

What all of them promise (SECURITY.md S-04, S-05, S-103):

1. Who may is asked first, by role and kind (`rules.WRITES`, `rules.READS`); then the document is loaded, and
   one of another organisation is `NotFound`, as if it were not there.
2. Only the fields listed for the kind are taken; any other is `Forbidden` and nothing changes.
3. Nobody grants more than they hold: neither role, nor organisation, nor models, routes or networks.
4. Each change is written together with its act in the audit log; what was refused is logged too.
5. `version` is the version that was seen (`If-Match`): a stale one is `PreconditionFailed`. Without it the
   latest is changed, and a race is `Conflict`. What cannot be read as a field's value is `InvalidRequest`.
"""
