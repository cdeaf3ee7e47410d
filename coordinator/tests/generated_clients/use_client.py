"""Uses the generated client: `python use_client.py URL TOKEN`."""

import sys
import uuid

from slipway_client import AuthenticatedClient
from slipway_client.api.artifacts import list_artifacts
from slipway_client.api.builds import cancel_build, create_build, get_build, list_builds
from slipway_client.api.namespaces import create_namespace
from slipway_client.api.pipelines import list_pipelines
from slipway_client.api.projects import create_project, get_project
from slipway_client.models import BuildState, ErrorBody, NewBuild, NewNamespace, NewProject

SHA = "5" * 40


def main(url: str, token: str) -> None:
    client = AuthenticatedClient(base_url=url, token=token, raise_on_unexpected_status=True)
    created = create_namespace.sync(client=client, body=NewNamespace(name="generated"))
    assert created.name == "generated", created
    body = NewProject(namespace="generated", name="web", repo_url="https://git.example/web")
    project = create_project.sync(client=client, body=body)
    assert project.max_running is None, project
    assert get_project.sync("generated", "web", client=client).id == project.id
    assert list_pipelines.sync("generated", "web", client=client).items[0].slug == "default"
    build = create_build.sync("generated", "web", client=client, body=NewBuild(sha=SHA))
    assert build.state == BuildState.PENDING and build.sha == SHA, build
    listed = list_builds.sync(
        "generated", "web", client=client, state=BuildState.PENDING, limit=1
    )
    assert [one.id for one in listed.items] == [build.id], listed
    read = get_build.sync(build.id, client=client)
    assert len(read.jobs) == 1 and read.finished_at is None, read
    assert list_artifacts.sync(read.jobs[0].id, client=client).items == []
    cancel_build.sync(build.id, client=client)
    assert get_build.sync(build.id, client=client).state == BuildState.CANCELED
    missing = get_build.sync(uuid.UUID(int=0), client=client)
    assert isinstance(missing, ErrorBody) and missing.error.code == "not_found", missing
    invalid = create_namespace.sync_detailed(client=client, body=NewNamespace(name="-"))
    assert invalid.status_code == 400 and invalid.parsed.error.code == "malformed", invalid


main(*sys.argv[1:])
