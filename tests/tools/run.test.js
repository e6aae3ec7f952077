// Tests the runner of the end-to-end tests: a test that fails twice fails the run, whichever module calls `test`.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const RUNNER = fileURLToPath(new URL("../e2e/run.js", import.meta.url));

/** Runs a test file that defines its tests by `define`, as the end-to-end tests do by `endToEnd`. */
function run(body) {
  const folder = mkdtempSync(join(tmpdir(), "onmic-run-"));
  try {
    writeFileSync(join(folder, "package.json"), '{"type":"module"}');
    writeFileSync(join(folder, "define.js"), 'import { test } from "node:test"; export const define = (name, body) => test(name, body);');
    writeFileSync(join(folder, "some.test.js"), `import fs from "node:fs"; import { define } from "./define.js"; ${body}`);
    const { NODE_TEST_CONTEXT: _, ...env } = process.env;
    const { status, stdout } = spawnSync(process.execPath, [RUNNER, join(folder, "some.test.js")], { env, encoding: "utf8" });
    return { status, last: stdout.trim().split("\n").slice(-2).join("\n") };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test("a test that fails twice fails the run", () => {
  const { status, last } = run('define("wrong", () => { throw new Error("always"); }); define("right", () => {});');
  assert.equal(status, 1, last);
  assert.match(last, /end to end: 1 passed, 1 failed/);
});

test("a test that passes at its second attempt is named", () => {
  const once = 'const mark = new URL("mark", import.meta.url); if (!fs.existsSync(mark)) { fs.writeFileSync(mark, ""); throw new Error("first"); }';
  const { status, last } = run(`define("shaky (once)", () => { ${once} }); define("right", () => {});`);
  assert.equal(status, 0, last);
  assert.match(last, /end to end: 2 passed, 0 failed\npassed in the second attempt only: shaky \(once\)/);
});

test("a file that cannot be loaded, or has no test, fails the run", () => {
  assert.equal(run("throw new Error('broken');").status, 1);
  assert.equal(run("").status, 1);
});
