// Runs the end-to-end tests: two files at a time, because most tests wait most of their time, and those that need the
// whole machine one after another. Encoders, browsers and the gateway share the machine in real time, so a test that
// fails runs once more by itself. Both attempts are printed whole. The run fails if a second attempt fails, or if more
// tests need one than a busy machine explains.
//
//   node e2e/run.js                                        all tests
//   node e2e/run.js e2e/auth.test.js                       one file
//   node e2e/run.js --only 'tokens are' e2e/auth.test.js   the tests whose name matches

import { readdirSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import { text } from "node:stream/consumers";
import { run } from "node:test";
import { spec } from "node:test/reporters";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const FOLDER = fileURLToPath(new URL(".", import.meta.url));
/** More failures than this have a cause that a second attempt would hide. */
const AGAIN_MAX = 3;
const AT_A_TIME = 2;
/** Files whose tests encode, mix or impair several streams at once, or flood the gateway, and look at each frame. */
const ALONE = [
  ...["bad_input", "bad_network", "field/never_black", "field/strangers", "levels", "mic_switch", "mixed_program", "poor_network"],
  ...["publisher_reconnect", "renditions", "whep_sync"],
].map((name) => join(FOLDER, `${name}.test.js`));

const { values, positionals } = parseArgs({ allowPositionals: true, options: { only: { type: "string" } } });
const files = positionals.length > 0 ? positionals.map((file) => resolve(file)) : [...testsIn(join(FOLDER, "field")), ...testsIn(FOLDER)];

let passed = 0;
const failed = [];
const beside = files.filter((file) => !ALONE.includes(file));
await Promise.all(Array.from({ length: AT_A_TIME }, () => runAll(beside)));
await runAll(files.filter((file) => ALONE.includes(file)));
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

/** Runs the files of a queue that others may take files from, too. */
async function runAll(queue) {
  for (let file = queue.shift(); file !== undefined; file = queue.shift()) {
    const outcome = await attempt(file, values.only);
    passed += outcome.passed.length;
    // A file that did not get as far as its tests fails under its own name.
    failed.push(...outcome.failed.map((name) => ({ file, name, isFile: resolve(name) === file })));
  }
}

function testsIn(folder) {
  return readdirSync(folder).filter((name) => name.endsWith(".test.js")).sort().map((name) => join(folder, name));
}

/** Runs the tests of a file, prints their report at the end, and returns the names of those that passed and that failed. */
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
  process.stdout.write(await text(tests.compose(spec)));
  return outcome;
}

function escaped(text) {
  return text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
}
