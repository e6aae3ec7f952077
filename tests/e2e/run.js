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

const first = await attempt(files, values.only);
const again = [];
if (first.failed.length <= AGAIN_MAX) {
  for (const { file, name } of first.failed) {
    const isFile = resolve(name) === file; // The file did not get as far as its tests.
    console.log(`\nsecond attempt: ${relative(FOLDER, file)}: ${name}`);
    again.push({ name, ...(await attempt([file], isFile ? values.only : `${escaped(name)}$`)) });
  }
}
const rescued = again.filter(({ passed, failed }) => passed > 0 && failed.length === 0);
const isRight = rescued.length === first.failed.length;
const passed = first.passed + rescued.reduce((sum, one) => sum + one.passed, 0);
console.log(`\nend to end: ${passed} passed, ${first.failed.length - rescued.length} failed`);
if (rescued.length > 0) console.log(`passed in the second attempt only: ${rescued.map(({ name }) => name).join(", ")}`);
process.exitCode = isRight ? 0 : 1;

function testsIn(folder) {
  return readdirSync(folder).filter((name) => name.endsWith(".test.js")).sort().map((name) => join(folder, name));
}

/** Runs the tests of some files, prints their reports, and returns what passed and what failed. */
async function attempt(files, only) {
  const outcome = { passed: 0, failed: [] };
  const tests = run({ files, concurrency: 1, testNamePatterns: only });
  tests.on("test:pass", ({ details, skip }) => {
    if (details.type !== "suite" && skip === undefined) outcome.passed += 1;
  });
  tests.on("test:fail", ({ details, file, name }) => {
    if (details.type !== "suite") outcome.failed.push({ file, name });
  });
  const report = tests.compose(spec);
  report.pipe(process.stdout, { end: false });
  await finished(report);
  return outcome;
}

function escaped(text) {
  return text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
}
