"""Uses GitLab's API v3 through python-gitlab, as its users do.

The only argument is a JSON object with the address of the farm, tokens, and the ids of the builds
that the test has prepared. Any exception fails the test.

See `docs/protocols/gitlab-builds-v3.md#client-versions`.
"""

import json
import sys
import zipfile
from io import BytesIO

import gitlab

prepared = json.loads(sys.argv[1])


def client(token):
    return gitlab.Gitlab(prepared["url"], private_token=token, api_version="3")


def assert_fails(error, status, call, *args, **kwargs):
    """Asserts that a call fails with this error and status, and returns the message."""
    try:
        call(*args, **kwargs)
    except error as raised:
        assert raised.response_code == status, (raised.response_code, raised)
        return str(raised)
    raise AssertionError("{} did not fail".format(call))


def sign_in_and_find_the_project():
    gl = client(prepared["developer"])
    gl.auth()
    assert gl.user.username == prepared["username"] and gl.user.id > 0
    assert_fails(gitlab.GitlabAuthenticationError, 401, client("wrong").auth)

    project = gl.projects.get("grp/proj")
    assert project.id == gl.projects.get(project.id).id
    assert project.path_with_namespace == "grp/proj"
    assert project.namespace.path == "grp"
    assert [one.id for one in gl.projects.list()] == [project.id]
    assert_fails(gitlab.GitlabGetError, 404, gl.projects.get, "grp/none")
    return gl, project


def list_builds(project):
    builds = project.builds.list(all=True)
    ids = [build.id for build in builds]
    assert len(ids) == prepared["count"] and ids == sorted(ids, reverse=True), ids
    assert len(project.builds.list()) == 20
    assert [one.id for one in project.builds.list(page=2, per_page=3)] == ids[3:6]
    ended = project.builds.list(scope=["success", "failed"], all=True)
    assert {build.status for build in ended} == {"success", "failed"}
    assert_fails(gitlab.GitlabListError, 400, project.builds.list, scope="bogus")


def get_one_build(project):
    build = project.builds.get(prepared["succeeded"])
    assert (build.status, build.name, build.stage, build.ref) == ("success", "unit", "build", "main")
    assert build.commit.id == prepared["sha"] and build.commit.author_name == prepared["author"]
    assert build.runner.description == "box-7" and build.user.username == prepared["username"]
    assert build.artifacts_file["filename"] == "artifacts.zip"
    assert build.pipeline["sha"] == prepared["sha"]
    assert_fails(gitlab.GitlabGetError, 404, project.builds.get, 424242)


def download_trace_and_artifacts(project):
    build = project.builds.get(prepared["succeeded"])
    assert build.trace() == prepared["trace"].encode()
    archive = build.artifacts()
    with zipfile.ZipFile(BytesIO(archive)) as opened:
        assert opened.namelist() == ["out.txt"]
    pieces = []
    build.artifacts(streamed=True, action=pieces.append, chunk_size=64)
    assert b"".join(pieces) == archive and len(pieces) > 1
    build.keep_artifacts()
    pending = project.builds.get(prepared["pending"])
    assert_fails(gitlab.GitlabGetError, 404, pending.trace)
    assert_fails(gitlab.GitlabGetError, 404, pending.artifacts)
    assert_fails(gitlab.GitlabGetError, 404, pending.keep_artifacts)


def change_builds(project):
    project.builds.get(prepared["pending"]).cancel()
    assert project.builds.get(prepared["pending"]).status == "canceled"
    project.builds.get(prepared["running"]).cancel()
    assert project.builds.get(prepared["running"]).status == "canceled"

    before = len(project.builds.list(all=True))
    failed = project.builds.get(prepared["failed"])
    failed.retry()
    newest = project.builds.list()[0]
    assert newest.id > failed.id and (newest.status, newest.name) == ("pending", failed.name)
    assert len(project.builds.list(all=True)) == before + 1
    message = assert_fails(gitlab.GitlabBuildRetryError, 403, newest.retry)
    assert "not retryable" in message, message

    project.builds.get(prepared["manual"]).play()
    assert project.builds.get(prepared["manual"]).status == "pending"
    assert_fails(gitlab.GitlabBuildPlayError, 400, newest.play)

    done = project.builds.get(prepared["succeeded"])
    done.erase()
    assert_fails(gitlab.GitlabGetError, 404, done.trace)
    assert_fails(gitlab.GitlabGetError, 404, done.artifacts)
    assert_fails(gitlab.GitlabBuildEraseError, 403, done.erase)
    assert project.builds.get(prepared["succeeded"]).artifacts_file is None


def commits_and_pipelines(project):
    commit = project.commits.get(prepared["sha"])
    assert commit.title == prepared["title"]
    # To load further pages, the client needs the project id again.
    assert len(commit.builds(all=True, project_id=project.id)) > 20
    assert {status.sha for status in commit.statuses.list()} == {prepared["sha"]}
    assert_fails(gitlab.GitlabGetError, 404, project.commits.get, "0" * 40)

    pipeline = project.pipelines.list()[0]
    assert project.pipelines.get(pipeline.id).sha == prepared["sha"]
    pipeline.cancel()
    assert project.pipelines.get(pipeline.id).status == "canceled"
    pipeline.retry()
    assert project.pipelines.get(pipeline.id).status == "pending"


def administration():
    gl = client(prepared["admin"])
    project = gl.projects.create({"name": "created", "import_url": prepared["repo_url"]})
    assert project.path_with_namespace == "root/created"
    project.description = "a description"
    project.save()
    assert gl.projects.get("root/created").description == "a description"
    assert gl.projects.get("root/created").runners_token
    assert [one.path for one in gl.projects.search("create")] == ["created"]

    variable = project.variables.create({"key": "COLOUR", "value": "blue"})
    variable.value = "green"
    variable.save()
    assert [(one.key, one.value) for one in project.variables.list()] == [("COLOUR", "green")]
    variable.delete()
    assert project.variables.list() == []

    trigger = project.triggers.create({})
    assert project.triggers.get(trigger.token).token == trigger.token
    project.trigger_build(prepared["branch"], trigger.token, {"COLOUR": "red"})
    assert len(project.builds.list()) == 1
    assert_fails(gitlab.GitlabCreateError, 404, project.trigger_build, prepared["branch"], "wrong")
    trigger.delete()
    assert project.triggers.list() == []

    runner = gl.runners.get(prepared["runner"])
    assert runner.description == "box-7" and runner.active
    assert prepared["runner"] in [one.id for one in gl.runners.all()]
    assert_fails(gitlab.GitlabListError, 403, client(prepared["developer"]).runners.all)
    runner.active = False
    runner.save()
    assert not gl.runners.get(prepared["runner"]).active

    project.delete()
    assert_fails(gitlab.GitlabGetError, 404, gl.projects.get, "root/created")


def main():
    _, project = sign_in_and_find_the_project()
    list_builds(project)
    get_one_build(project)
    download_trace_and_artifacts(project)
    change_builds(project)
    commits_and_pipelines(project)
    administration()


main()
