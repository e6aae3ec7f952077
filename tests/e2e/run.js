// Runs the end-to-end tests one after another. Encoders, browsers and the gateway share the machine in real time, so a
// test that fails runs once more by itself. Both attempts are printed whole. The run fails if a second attempt fails,
// or if more tests need one than a busy machine explains.
//
//   node e2e/run.js                                        all tests
//   node e2e/run.js e2e/auth.test.js                       one file
//   node e2e/run.js --only 'tokens are' e2e/auth.test.js   the tests whose name matches

import { readdirSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import { finished } from "node:stream/promises";
import { run } from "node:test";
import { spec } from "node:test/reporters";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const FOLDER = fileURLToPath(new URL(".", import.meta.url));
/** More failures than this have a cause that a second attempt would hide. */
const AGAIN_MAX = 3;

const { values, positionals } = parseArgs({ allowPositionals: true, options: { only: { type: "string" } } });
const files = positionals.length > 0 ? positionals.map((file) => resolve(file)) : [...testsIn(FOLDER), ...testsIn(join(FOLDER, "field"))];

let passed = 0;
const failed = [];
for (const file of files) {
  const outcome = await attempt(file, values.only);
  passed += outcome.passed.length;
  // A file that did not get as far as its tests fails under its own name.
  failed.push(...outcome.failed.map((name) => ({ file, name, isFile: resolve(name) === file })));
}
const rescued = [];
if (failed.length <= AGAIN_MAX) {
  for (const { file, name, isFile } of failed) {
    console.log(`\nsecond attempt: ${relative(FOLDER, file)}: ${name}`);
    const outcome = await attempt(file, isFile ? values.only : `${escaped(name)}$`);
    const hasPassed = isFile ? outcome.passed.length > 0 : outcome.passed.includes(name);
    if (hasPassed && outcome.failed.length === 0) rescued.push({ name, passed: outcome.passed.length });
  }
}
passed += rescued.reduce((sum, one) => sum + one.passed, 0);
const left = failed.length - rescued.length;
console.log(`\nend to end: ${passed} passed, ${left} failed`);
if (rescued.length > 0) console.log(`passed in the second attempt only: ${rescued.map(({ name }) => name).join(", ")}`);
process.exitCode = left === 0 && passed > 0 ? 0 : 1;

function testsIn(folder) {
  return readdirSync(folder).filter((name) => name.endsWith(".test.js")).sort().map((name) => join(folder, name));
}

/** Runs the tests of a file, prints their report, and returns the names of those that passed and that failed. */
async function attempt(file, only) {
  const outcome = { passed: [], failed: [] };
  const tests = run({ files: [file], concurrency: 1, testNamePatterns: only });
  tests.on("test:pass", ({ details, name, skip }) => {
    // A file without a test that matches is reported as a test that passed.
    if (details.type !== "suite" && skip === undefined && resolve(name) !== file) outcome.passed.push(name);
  });
  tests.on("test:fail", ({ details, name }) => {
    if (details.type !== "suite") outcome.failed.push(name);
  });
  const report = tests.compose(spec);
  report.pipe(process.stdout, { end: false });
  await finished(report);
  return outcome;
}

function escaped(text) {
  return text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
}
