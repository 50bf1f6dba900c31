"""Opens the admin API of a process. Floor 6."""

from turnout.build import Built
from turnout.server.admin.admin import Admin
from turnout.server.admin.overlay import Overlay
from turnout.server.app import Gateway
from turnout.server.desk import Room


async def open_admin(built: Built, gateway: Gateway, room: Room) -> Overlay:
    """Serve the admin API at a gateway; return what lies over its configuration, to be followed.

    Raises:
        ConfigError: A path has no permission (S-05), or what the desk holds cannot be used.
        StoreUnavailable: The desk cannot be read.
    """
    overlay = Overlay(built, lambda: room.office)

    def set_ready(ready: bool) -> None:
        gateway.ready = ready

    def keyless() -> bool:
        return not gateway.settings.keys and not room.directory

    gateway.admin = Admin(built, lambda: room.office, overlay, keyless, set_ready)
    await overlay.refresh()
    return overlay
