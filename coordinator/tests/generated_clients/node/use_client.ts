// Uses the generated client: `node use_client.js URL TOKEN`.
import { client } from "./client/client.gen.js";
import {
  cancelBuild,
  createBuild,
  createNamespace,
  createProject,
  getBuild,
  getProject,
  listArtifacts,
  listBuilds,
  listPipelines,
} from "./client/index.js";

declare const process: { argv: string[] };

const SHA = "5".repeat(40);

function equal(found: unknown, expected: unknown): void {
  if (found !== expected) {
    throw new Error(`expected ${JSON.stringify(expected)}, found ${JSON.stringify(found)}`);
  }
}

const [, , url, token] = process.argv;
client.setConfig({ baseUrl: url, auth: token });
const throwOnError = true as const;
await createNamespace({ throwOnError, body: { name: "generated" } });
const path = { ns: "generated", name: "web" };
const project = await createProject({
  throwOnError,
  body: { namespace: path.ns, name: path.name, repo_url: "https://git.example/web" },
});
equal(project.data.visibility, "private");
equal((await getProject({ throwOnError, path })).data.id, project.data.id);
equal((await listPipelines({ throwOnError, path })).data.items[0].slug, "default");
const created = await createBuild({ throwOnError, path, body: { sha: SHA } });
equal(created.data.state, "pending");
const list = await listBuilds({ throwOnError, path, query: { state: "pending", limit: 1 } });
equal(list.data.items[0].id, created.data.id);
const build = { uuid: created.data.id };
const read = await getBuild({ throwOnError, path: build });
equal(read.data.jobs.length, 1);
const artifacts = await listArtifacts({ throwOnError, path: { id: read.data.jobs[0].id } });
equal(artifacts.data.items.length, 0);
await cancelBuild({ throwOnError, path: build });
equal((await getBuild({ throwOnError, path: build })).data.state, "canceled");
const missing = await getBuild({ path: { uuid: "00000000-0000-7000-8000-000000000000" } });
equal(missing.error?.error.code, "not_found");
const invalid = await createNamespace({ body: { name: "-" } });
equal(invalid.response?.status, 400);
