"""Who may use which path of the admin API: SECURITY.md section 6 as a table. Floor 6.

What is not in the table does not exist: an endpoint without a row here does not start the server, and neither
does a row without an endpoint (S-05). `docs/reference/roles.md` is written from it.
"""

from collections.abc import Mapping
from typing import Final, Literal

from msgspec import Struct

from turnout.types.principal import RoleName

Reach = Literal["own objects", "own organisation", "all"]
"""What of the installation a role reaches. A key of no organisation reaches all where its role reaches an
organisation; an object out of reach answers 404."""
Method = Literal["GET", "POST", "PATCH", "DELETE"]
ROLES: Final[tuple[RoleName, ...]] = ("none", "call", "viewer", "operator", "admin", "owner", "scrape")
BASE: Final = "/admin/v1"

_LOOK: Final[Mapping[RoleName, Reach]] = {
    "viewer": "own organisation",
    "operator": "own organisation",
    "admin": "own organisation",
    "owner": "all",
}
_OPERATE: Final[Mapping[RoleName, Reach]] = {
    "operator": "own organisation",
    "admin": "own organisation",
    "owner": "all",
}
_ADMINISTER: Final[Mapping[RoleName, Reach]] = {"admin": "own organisation", "owner": "all"}
_OWN: Final[Mapping[RoleName, Reach]] = {"owner": "all"}
_METADATA: Final[Mapping[RoleName, Reach]] = {"call": "own objects", **_LOOK}
_PERSONAL: Final[Mapping[RoleName, Reach]] = {
    "viewer": "own objects",
    "operator": "own objects",
    **_ADMINISTER,
}
_CONFIG: Final[Mapping[RoleName, Reach]] = {"operator": "all", "admin": "all", "owner": "all"}


class Permit(Struct, frozen=True):
    """One path of the API, and who may use it."""

    method: Method
    path: str
    """Under `/admin/v1`; `{id}` stands for one segment."""
    action: str
    """What the audit log calls it."""
    roles: Mapping[RoleName, Reach]
    whole: bool = False
    """Concerns the whole installation: a key of one organisation may not, whatever its role."""


def _kept(
    name: str, word: str, read: Mapping[RoleName, Reach], write: Mapping[RoleName, Reach]
) -> list[Permit]:
    """Return the rows of one kind of document."""
    return [
        Permit("GET", f"/{name}", f"{word}.list", read),
        Permit("POST", f"/{name}", f"{word}.create", write),
        Permit("GET", f"/{name}/{{id}}", f"{word}.read", read),
        Permit("PATCH", f"/{name}/{{id}}", f"{word}.update", write),
        Permit("DELETE", f"/{name}/{{id}}", f"{word}.remove", write),
    ]


PERMITS: Final[tuple[Permit, ...]] = (
    Permit("GET", "/openapi.json", "api.read", _LOOK),
    *_kept("organisations", "organisation", _ADMINISTER, _OWN),
    *_kept("projects", "project", _LOOK, _ADMINISTER),
    *_kept("teams", "team", _LOOK, _ADMINISTER),
    *_kept("customers", "customer", _LOOK, _ADMINISTER),
    *_kept("budgets", "budget", _LOOK, _ADMINISTER),
    *_kept("quotas", "quota", _LOOK, _ADMINISTER),
    Permit("GET", "/standing", "limit.list", _LOOK),
    Permit("GET", "/keys", "key.list", _LOOK),
    Permit("POST", "/keys", "key.create", _ADMINISTER),
    Permit("GET", "/keys/{id}", "key.read", _LOOK),
    Permit("PATCH", "/keys/{id}", "key.update", _ADMINISTER),
    Permit("POST", "/keys/{id}/rotate", "key.rotate", _ADMINISTER),
    Permit("POST", "/keys/{id}/revoke", "key.revoke", _ADMINISTER),
    Permit("GET", "/expiring", "key.list", _LOOK),
    Permit("GET", "/users", "user.list", _LOOK),
    Permit("POST", "/users", "user.create", _ADMINISTER),
    Permit("GET", "/users/{id}", "user.read", _LOOK),
    Permit("PATCH", "/users/{id}", "user.update", _ADMINISTER),
    Permit("DELETE", "/users/{id}", "user.remove", _ADMINISTER),
    Permit("POST", "/users/{id}/role", "user.role", _ADMINISTER),
    Permit("POST", "/users/{id}/sign-out", "user.sign_out", _ADMINISTER),
    Permit("GET", "/tokens", "token.list", _PERSONAL),
    Permit("POST", "/tokens", "token.create", _PERSONAL),
    Permit("GET", "/tokens/{id}", "token.read", _PERSONAL),
    Permit("POST", "/tokens/{id}/revoke", "token.revoke", _PERSONAL),
    Permit("GET", "/credentials", "credential.list", _LOOK, whole=True),
    Permit("POST", "/credentials", "credential.create", _ADMINISTER, whole=True),
    Permit("GET", "/credentials/{id}", "credential.read", _LOOK, whole=True),
    Permit("PATCH", "/credentials/{id}", "credential.update", _ADMINISTER, whole=True),
    Permit("DELETE", "/credentials/{id}", "credential.remove", _ADMINISTER, whole=True),
    Permit("GET", "/prices", "price.list", _LOOK),
    Permit("GET", "/prices/{id}", "price.read", _LOOK),
    Permit("POST", "/prices", "price.create", _OPERATE, whole=True),
    Permit("PATCH", "/prices/{id}", "price.update", _OPERATE, whole=True),
    Permit("DELETE", "/prices/{id}", "price.remove", _OPERATE, whole=True),
    Permit("GET", "/providers", "provider.list", _LOOK),
    Permit("GET", "/deployments", "deployment.list", _LOOK),
    Permit("GET", "/models", "model.list", _LOOK),
    Permit("GET", "/routes", "route.list", _LOOK),
    Permit("GET", "/health", "health.read", _LOOK),
    Permit("POST", "/breakers/reset", "breaker.reset", _OPERATE, whole=True),
    Permit("GET", "/cache", "cache.read", _LOOK),
    Permit("DELETE", "/cache", "cache.clear", _OPERATE),
    Permit("GET", "/guards", "guard.list", _LOOK),
    Permit("POST", "/guards/review", "guard.review", _OPERATE),
    Permit("POST", "/drain", "gateway.drain", _OPERATE, whole=True),
    Permit("DELETE", "/drain", "gateway.resume", _OPERATE, whole=True),
    Permit("GET", "/config", "config.read", _CONFIG),
    Permit("POST", "/config/validate", "config.validate", _CONFIG),
    Permit("GET", "/config/versions", "config.list", _CONFIG),
    Permit("POST", "/config/versions", "config.propose", _CONFIG),
    Permit("GET", "/config/versions/{id}", "config.read", _CONFIG),
    Permit("GET", "/config/versions/{id}/diff", "config.diff", _CONFIG),
    Permit("POST", "/config/versions/{id}/apply", "config.apply", _OWN, whole=True),
    Permit("POST", "/config/rollback", "config.rollback", _OWN, whole=True),
    Permit("GET", "/requests", "request.list", _METADATA),
    Permit("GET", "/requests/{id}", "request.read", _METADATA),
    Permit("GET", "/requests/{id}/content", "content.read", _ADMINISTER),
    Permit("GET", "/requests/{id}/replay", "decision.replay", _LOOK),
    Permit("GET", "/routes/{id}/certificate", "route.read", _LOOK),
    Permit("GET", "/routes/{id}/scores", "route.read", _LOOK),
    Permit("POST", "/routes/{id}/effect", "config.validate", _CONFIG),
    Permit("GET", "/feedback", "feedback.list", _LOOK),
    Permit("POST", "/feedback", "feedback.create", _OPERATE),
    Permit("GET", "/quality", "quality.read", _LOOK),
    Permit("GET", "/evaluations", "evaluation.list", _LOOK, whole=True),
    Permit("GET", "/evaluations/{id}", "evaluation.read", _LOOK, whole=True),
    Permit("GET", "/decisions/{id}", "decision.read", _METADATA),
    Permit("GET", "/spend", "spend.read", _METADATA),
    Permit("GET", "/usage", "usage.read", _METADATA),
    Permit("GET", "/usage/series", "usage.read", _METADATA),
    Permit("GET", "/usage/totals", "usage.read", _METADATA),
    Permit("GET", "/usage/top", "usage.read", _METADATA),
    Permit("GET", "/customers/{id}/data", "customer.export", _ADMINISTER),
    Permit("DELETE", "/customers/{id}/data", "customer.erase", _ADMINISTER),
    Permit("GET", "/exports/requests", "request.export", _LOOK),
    Permit("GET", "/exports/spend", "spend.export", _LOOK),
    Permit("GET", "/statements", "statement.read", _LOOK),
    Permit("POST", "/reconciliation", "spend.reconcile", _OPERATE, whole=True),
    Permit("GET", "/alerts", "alert.list", _LOOK, whole=True),
    Permit("POST", "/alerts/{id}/silence", "alert.silence", _OPERATE, whole=True),
    Permit("POST", "/alerts/test", "alert.test", _OPERATE, whole=True),
    Permit("GET", "/audit", "audit.read", _ADMINISTER),
    Permit("GET", "/audit/verify", "audit.verify", _ADMINISTER),
    Permit("GET", "/exports/audit", "audit.export", _ADMINISTER),
)
