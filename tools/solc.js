#!/usr/bin/env node
// The wasm compiler of the npm package `solc` behind the command line of a native solc.
// Ape (through py-solc-x), forge and slither call a program of this shape; no registry offers a native build.
// Install it under a name `solc-v<version>` (or `solc`) in the folder named by SOLCX_BINARY_PATH: see the Makefile.
"use strict";
const fs = require("fs");
const path = require("path");

const root = findProject(path.dirname(fs.realpathSync(__filename)));
const packageVersion = readJson(path.join(root, "node_modules", "solc", "package.json")).version;

function findProject(folder) {
  for (let at = folder; ; at = path.dirname(at)) {
    if (fs.existsSync(path.join(at, "node_modules", "solc", "package.json"))) return at;
    if (at === path.dirname(at)) die("solc: the npm package `solc` is not installed here: run `make setup`");
  }
}

function readJson(file) {
  return JSON.parse(fs.readFileSync(file, "utf8"));
}

function die(text) {
  process.stderr.write(text + "\n");
  process.exit(1);
}

/** Everything to the file descriptor: pipes accept less than asked for and answer EAGAIN. */
function writeAll(fd, text) {
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; ) {
    try {
      at += fs.writeSync(fd, bytes, at);
    } catch (error) {
      if (error.code !== "EAGAIN") throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2);
    }
  }
}

/** py-solc-x asks for the version before every call: answer from a note that dies with the npm package. */
function longVersion() {
  const binary = path.join(root, "node_modules", "solc", "soljson.js");
  const stat = fs.statSync(binary);
  const key = `${packageVersion}:${stat.size}:${Math.floor(stat.mtimeMs)}`;
  const note = path.join(root, "node_modules", ".solc-version.json");
  try {
    const known = readJson(note);
    if (known.key === key) return known.version;
  } catch {
    // no note yet, or a half-written one: ask the compiler
  }
  const version = require(path.join(root, "node_modules", "solc")).version().replace(".Emscripten.clang", "");
  try {
    fs.writeFileSync(note, JSON.stringify({ key, version }));
  } catch {
    // a read-only checkout only costs time
  }
  return version;
}

function checkNames(version) {
  const named = /^solc-v(.+)$/.exec(path.basename(process.argv[1]));
  if (!version.startsWith(packageVersion + "+") || (named && named[1] !== packageVersion)) {
    die(`solc: the file is called ${path.basename(process.argv[1])}, npm has ${packageVersion}, the compiler says ${version}: run \`make setup\` again`);
  }
}

function option(args, name) {
  const at = args.findIndex((arg) => arg === name || arg.startsWith(name + "="));
  if (at < 0) return undefined;
  return args[at].includes("=") ? args[at].slice(name.length + 1) : args[at + 1];
}

function importCallback(args) {
  const base = path.resolve(option(args, "--base-path") || process.cwd());
  const allowed = (option(args, "--allow-paths") || "").split(",").filter(Boolean).map((p) => path.resolve(p));
  const roots = [base, ...allowed];
  return (name) => {
    for (const folder of roots) {
      const file = path.resolve(folder, name);
      if (!roots.some((r) => file === r || file.startsWith(r + path.sep))) continue;
      if (fs.existsSync(file)) return { contents: fs.readFileSync(file, "utf8") };
    }
    return { error: `File not found or outside the allowed folders: ${name}` };
  };
}

function main(args) {
  const version = longVersion();
  checkNames(version);
  if (args.includes("--version")) {
    writeAll(1, `solc, the solidity compiler commandline interface\nVersion: ${version}.Linux.g++\n`);
  } else if (args.includes("--standard-json")) {
    const input = fs.readFileSync(0, "utf8");
    const solc = require(path.join(root, "node_modules", "solc"));
    const log = console.log;
    console.log = (...words) => process.stderr.write(words.join(" ") + "\n"); // stdout is for JSON only
    const output = solc.compile(input, { import: importCallback(args) });
    console.log = log;
    writeAll(1, output);
  } else {
    die("solc: this wrapper of the wasm compiler knows --version and --standard-json only");
  }
}

main(process.argv.slice(2));
