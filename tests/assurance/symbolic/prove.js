// The pinned compiler with its model checker: standard JSON in, standard JSON out, queries answered by the native z3 named in Z3.
// The package's own callback gives a solver ten seconds of wall time; here only z3's own step limit counts, which does not
// depend on the machine.
"use strict";
const { spawnSync } = require("child_process");
const fs = require("fs");
const os = require("os");
const path = require("path");
const root = path.resolve(__dirname, "..", "..", "..");
const solc = require(path.join(root, "node_modules", "solc"));

const OPTIONS = ["-smt2", "rlimit=40000000", "rewriter.pull_cheap_ite=true", "fp.spacer.q3.use_qgen=true",
  "fp.spacer.mbqi=false", "fp.spacer.ground_pobs=false"];

function answer(query) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "lilypad-prove-"));
  const file = path.join(folder, "query.smt2");
  fs.writeFileSync(file, query);
  const done = spawnSync(process.env.Z3, [...OPTIONS, file], { encoding: "utf8", maxBuffer: 1 << 28 });
  fs.rmSync(folder, { recursive: true });
  return done.error ? { error: String(done.error) } : { contents: done.stdout };
}

const log = console.log;
console.log = (...words) => process.stderr.write(words.join(" ") + "\n"); // stdout is for JSON only
const output = solc.compile(fs.readFileSync(0, "utf8"), { smtSolver: answer });
console.log = log;
fs.writeFileSync(1, output);
