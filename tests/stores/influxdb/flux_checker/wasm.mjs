// The WebAssembly of the language server; what it imports is put into `functions` once that can be loaded.
import { readFileSync } from "node:fs";

export const functions = {};
const module = new WebAssembly.Module(readFileSync(new URL("flux.wasm", import.meta.url)));
const imports = {};
for (const { module: from, name } of WebAssembly.Module.imports(module)) {
  imports[from] ??= {};
  imports[from][name] = (...given) => functions[name](...given);
}
export const wasm = new WebAssembly.Instance(module, imports).exports;
