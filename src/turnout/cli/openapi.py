"""`turnout openapi`: the gateway's own description in OpenAPI 3.1. Floor 7."""

import click


@click.command()
def openapi() -> None:
    """Print the OpenAPI description (JSON) of the data plane.

    A gateway serves it at /openapi.json; that of the admin API at /admin/v1/openapi.json.
    """
    from turnout.server.openapi import describe

    click.echo(describe())
