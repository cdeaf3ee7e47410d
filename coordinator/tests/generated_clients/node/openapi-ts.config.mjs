// Node reads the compiled modules, whose imports need the extension.
export default {
  input: "document.json",
  output: { path: "client", module: { extension: ".js" }, postProcess: [] },
  plugins: ["@hey-api/client-fetch", "@hey-api/typescript", "@hey-api/sdk"],
};
