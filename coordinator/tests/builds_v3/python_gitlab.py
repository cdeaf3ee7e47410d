"""Drives the consumer API with python-gitlab, the way its users do.

The one argument is a JSON object: the farm's address, tokens, and the ids of what the test has
prepared. Whatever goes wrong is an exception, and so a failed test.
"""

import json
import sys
import zipfile
from io import BytesIO

import gitlab

given = json.loads(sys.argv[1])


def client(token):
    return gitlab.Gitlab(given["url"], private_token=token, api_version="3")


def refused(error, status, call, *args, **kwargs):
    """Calls, and expects this refusal."""
    try:
        call(*args, **kwargs)
    except error as refusal:
        assert refusal.response_code == status, (refusal.response_code, refusal)
        return str(refusal)
    raise AssertionError("{} was not refused".format(call))


def the_way_from_a_token_to_a_build():
    gl = client(given["developer"])
    gl.auth()
    assert gl.user.username == given["username"] and gl.user.id > 0
    refused(gitlab.GitlabAuthenticationError, 401, client("wrong").auth)

    project = gl.projects.get("grp/proj")
    assert project.id == gl.projects.get(project.id).id
    assert project.path_with_namespace == "grp/proj"
    assert project.namespace.path == "grp"
    assert [one.id for one in gl.projects.list()] == [project.id]
    refused(gitlab.GitlabGetError, 404, gl.projects.get, "grp/none")
    return gl, project


def lists(project):
    builds = project.builds.list(all=True)
    ids = [build.id for build in builds]
    assert len(ids) == given["count"] and ids == sorted(ids, reverse=True), ids
    assert len(project.builds.list()) == 20
    assert [one.id for one in project.builds.list(page=2, per_page=3)] == ids[3:6]
    ended = project.builds.list(scope=["success", "failed"], all=True)
    assert {build.status for build in ended} == {"success", "failed"}
    refused(gitlab.GitlabListError, 400, project.builds.list, scope="bogus")


def one_build(project):
    build = project.builds.get(given["succeeded"])
    assert (build.status, build.name, build.stage, build.ref) == ("success", "unit", "build", "main")
    assert build.commit.id == given["sha"] and build.commit.author_name == given["author"]
    assert build.runner.description == "box-7" and build.user.username == given["username"]
    assert build.artifacts_file["filename"] == "artifacts.zip"
    assert build.pipeline["sha"] == given["sha"]
    refused(gitlab.GitlabGetError, 404, project.builds.get, 424242)


def what_a_build_left(project):
    build = project.builds.get(given["succeeded"])
    assert build.trace() == given["trace"].encode()
    archive = build.artifacts()
    with zipfile.ZipFile(BytesIO(archive)) as opened:
        assert opened.namelist() == ["out.txt"]
    pieces = []
    build.artifacts(streamed=True, action=pieces.append, chunk_size=64)
    assert b"".join(pieces) == archive and len(pieces) > 1
    build.keep_artifacts()
    silent = project.builds.get(given["pending"])
    refused(gitlab.GitlabGetError, 404, silent.trace)
    refused(gitlab.GitlabGetError, 404, silent.artifacts)
    refused(gitlab.GitlabGetError, 404, silent.keep_artifacts)


def what_is_done_to_builds(project):
    project.builds.get(given["pending"]).cancel()
    assert project.builds.get(given["pending"]).status == "canceled"
    project.builds.get(given["running"]).cancel()
    assert project.builds.get(given["running"]).status == "canceled"

    before = len(project.builds.list(all=True))
    failed = project.builds.get(given["failed"])
    failed.retry()
    newest = project.builds.list()[0]
    assert newest.id > failed.id and (newest.status, newest.name) == ("pending", failed.name)
    assert len(project.builds.list(all=True)) == before + 1
    said = refused(gitlab.GitlabBuildRetryError, 403, newest.retry)
    assert "not retryable" in said, said

    project.builds.get(given["manual"]).play()
    assert project.builds.get(given["manual"]).status == "pending"
    refused(gitlab.GitlabBuildPlayError, 400, newest.play)

    done = project.builds.get(given["succeeded"])
    done.erase()
    refused(gitlab.GitlabGetError, 404, done.trace)
    refused(gitlab.GitlabGetError, 404, done.artifacts)
    refused(gitlab.GitlabBuildEraseError, 403, done.erase)
    assert project.builds.get(given["succeeded"]).artifacts_file is None


def commits_and_pipelines(project):
    commit = project.commits.get(given["sha"])
    assert commit.title == given["title"]
    # Beyond the first page the client wants to be told the project once more.
    assert len(commit.builds(all=True, project_id=project.id)) > 20
    assert {status.sha for status in commit.statuses.list()} == {given["sha"]}
    refused(gitlab.GitlabGetError, 404, project.commits.get, "0" * 40)

    pipeline = project.pipelines.list()[0]
    assert project.pipelines.get(pipeline.id).sha == given["sha"]
    pipeline.cancel()
    assert project.pipelines.get(pipeline.id).status == "canceled"
    pipeline.retry()
    assert project.pipelines.get(pipeline.id).status == "pending"


def administration():
    gl = client(given["admin"])
    project = gl.projects.create({"name": "made", "import_url": given["repo_url"]})
    assert project.path_with_namespace == "root/made"
    project.description = "what it is for"
    project.save()
    assert gl.projects.get("root/made").description == "what it is for"
    assert gl.projects.get("root/made").runners_token
    assert [one.path for one in gl.projects.search("mad")] == ["made"]

    variable = project.variables.create({"key": "COLOUR", "value": "blue"})
    variable.value = "green"
    variable.save()
    assert [(one.key, one.value) for one in project.variables.list()] == [("COLOUR", "green")]
    variable.delete()
    assert project.variables.list() == []

    trigger = project.triggers.create({})
    assert project.triggers.get(trigger.token).token == trigger.token
    project.trigger_build(given["branch"], trigger.token, {"COLOUR": "red"})
    assert len(project.builds.list()) == 1
    refused(gitlab.GitlabCreateError, 404, project.trigger_build, given["branch"], "wrong")
    trigger.delete()
    assert project.triggers.list() == []

    runner = gl.runners.get(given["runner"])
    assert runner.description == "box-7" and runner.active
    assert given["runner"] in [one.id for one in gl.runners.all()]
    refused(gitlab.GitlabListError, 403, client(given["developer"]).runners.all)
    runner.active = False
    runner.save()
    assert not gl.runners.get(given["runner"]).active

    project.delete()
    refused(gitlab.GitlabGetError, 404, gl.projects.get, "root/made")


def main():
    _, project = the_way_from_a_token_to_a_build()
    lists(project)
    one_build(project)
    what_a_build_left(project)
    what_is_done_to_builds(project)
    commits_and_pipelines(project)
    administration()


main()
