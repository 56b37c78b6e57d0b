// Reads a JSON list of Flux texts, prints a list of what InfluxData's language server says against each.
// It knows the language and no data: what it cannot find is in test_flux.py.
import { copyFileSync, readFileSync, writeFileSync } from "node:fs";

const here = (name) => new URL(name, import.meta.url);
const glue = (name) => here(`node_modules/@influxdata/flux-lsp-browser/flux-lsp-browser_bg.${name}`);

// The package is made for bundlers: its script and its WebAssembly import each other.
writeFileSync(
  here("glue.mjs"),
  readFileSync(glue("js"), "utf8").replace(/^import \* as wasm from .*/, 'import { wasm } from "./wasm.mjs";'),
);
copyFileSync(glue("wasm"), here("flux.wasm"));

const { functions } = await import("./wasm.mjs");
Object.assign(functions, await import("./glue.mjs"));
const { Flux, Lsp } = functions;

async function complaints(text) {
  if (new Flux(text).is_valid()) return [];
  const found = [];
  const server = new Lsp();
  server.onMessage((message) => found.push(...(JSON.parse(message).params?.diagnostics ?? [])));
  server.run();
  const send = (message) => server.send(JSON.stringify({ jsonrpc: "2.0", ...message }));
  await send({ id: 1, method: "initialize", params: { capabilities: {} } });
  await send({ method: "initialized", params: {} });
  const textDocument = { uri: "file:///text.flux", languageId: "flux", version: 1, text };
  await send({ method: "textDocument/didOpen", params: { textDocument } });
  await new Promise((resolve) => setTimeout(resolve, 50));
  return found.length ? found.map(({ message }) => message) : ["is not valid"];
}

const answers = [];
for (const text of JSON.parse(readFileSync(0, "utf8"))) answers.push(await complaints(text));
writeFileSync(1, JSON.stringify(answers));
process.exit(0);
