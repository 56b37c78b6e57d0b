"""What a service answers is what its document says, whatever is asked."""

from __future__ import annotations

import httpx
import schemathesis
from schemathesis.config import GenerationConfig, ProjectConfig, ProjectsConfig, SchemathesisConfig
from schemathesis.specs.openapi.checks import positive_data_acceptance

from tailmetrics.api.app import create_app
from tailmetrics.settings import load_settings
from tailmetrics.stores.in_memory import InMemoryStore
from tailmetrics.telemetry.metrics import Metrics


def schema() -> schemathesis.BaseSchema:
    """The document as schemathesis reads it; it is needed before any fixture is."""
    generation = GenerationConfig(max_examples=50, deterministic=True, database="none")
    project = ProjectConfig(generation=generation)
    config = SchemathesisConfig(seed=1, projects=ProjectsConfig(default=project))
    app = create_app(load_settings(None), InMemoryStore(), None, Metrics())
    return schemathesis.openapi.from_dict(app.openapi(), config=config)


@schema().parametrize()
def test_answers_are_as_the_document_says(case: schemathesis.Case, client: httpx.Client) -> None:
    # What one parameter may be can depend on another, which a schema cannot say.
    case.call_and_validate(base_url=str(client.base_url), excluded_checks=[positive_data_acceptance])
