"""What generated calls need to get past the door: models that are there, an answer that was kept."""

import schemathesis

MODELS = ("oai/one", "ant/one", "gem/one", "res/one", "auto", "oai/vectors")
MOST_CHARS = 512
"""Of a model's name: longer ones are wrong on purpose."""


@schemathesis.hook
def map_body(context, body):
    """Ask a model that is there, whichever the generator made up."""
    name = body.get("model") if isinstance(body, dict) else None
    if isinstance(name, str) and 0 < len(name) <= MOST_CHARS:
        return {**body, "model": MODELS[len(name) % len(MODELS)]}
    return body


@schemathesis.hook
def map_path_parameters(context, path_parameters):
    """Name a model that is there, in every other call."""
    name = (path_parameters or {}).get("model")
    if isinstance(name, str) and len(name) % 2:
        return {**path_parameters, "model": "gem/one"}
    return path_parameters
