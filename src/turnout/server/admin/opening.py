"""Opens the admin API of a process. Floor 6."""

from turnout.build import Built
from turnout.server.admin.admin import Admin
from turnout.server.admin.overlay import Overlay
from turnout.server.app import Gateway
from turnout.server.desk import Room
from turnout.server.login.auth import Auth, Gates
from turnout.server.login.signed import Sessions


async def open_admin(built: Built, gateway: Gateway, room: Room) -> Overlay:
    """Serve the admin API and sign-in at a gateway; return what lies over its configuration, to be followed.

    Raises:
        ConfigError: A path has no permission (S-05), or what the desk holds cannot be used.
        StoreUnavailable: The desk cannot be read.
    """
    overlay = Overlay(built, lambda: room.office)

    def set_ready(ready: bool) -> None:
        gateway.ready = ready

    def keyless() -> bool:
        oidc = built.config.admin.oidc
        return not gateway.settings.keys and not room.directory and oidc is None

    admin = gateway.plane.admin = Admin(built, lambda: room.office, overlay, keyless, set_ready)
    signed = admin.sessions = Sessions(built, lambda: room.office, gateway.plane.lent.named)
    gates = Gates(gateway.plane.lent.identify, gateway.plane.lent.read, keyless)
    auth = gateway.plane.auth = Auth(built, lambda: room.office, signed, gates)
    await auth.ready()
    await overlay.refresh()
    return overlay
