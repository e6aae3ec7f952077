// Tests that a gateway without a secret listens on loopback only, and refuses an open address. Its UDP socket has the
// other addresses of this machine too, because Firefox connects to none of loopback, and takes datagrams from them alone.

import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { networkInterfaces } from "node:os";
import { endToEnd } from "../lib/end_to_end.js";
import { Gateway } from "../lib/gateway.js";
import { request } from "../lib/http.js";
import { waitFor } from "../lib/wait.js";

/** Returns the local addresses with a listener on this port, as /proc/net writes them (little-endian hexadecimal). */
function listeningAddresses(port, protocol) {
  const rows = readFileSync(`/proc/net/${protocol}`, "utf8").trim().split("\n").slice(1);
  const hex = port.toString(16).toUpperCase().padStart(4, "0");
  return rows
    .map((row) => row.trim().split(/\s+/))
    .filter(([, local, , state]) => local.endsWith(`:${hex}`) && (protocol.startsWith("udp") || state === "0A"))
    .map(([, local]) => local.split(":")[0]);
}

endToEnd("without_a_secret_the_gateway_listens_on_loopback_only", async (stage) => {
  const gateway = await stage.gateway();
  for (const [port, protocol] of [
    [gateway.httpPort, "tcp"],
    [gateway.rtmpPort, "tcp"],
  ]) {
    assert.deepEqual(listeningAddresses(port, protocol), ["0100007F"], `${protocol} ${port}`);
    assert.deepEqual(listeningAddresses(port, `${protocol}6`), [], `${protocol}6 ${port}`);
  }
  const outside = Object.values(networkInterfaces()).flat().find(({ family, internal }) => family === "IPv4" && !internal);
  if (outside) {
    await assert.rejects(request(`http://${outside.address}:${gateway.httpPort}/healthz`, { timeoutMs: 2000 }));
  }
});

endToEnd("an_open_address_without_a_secret_is_refused", async () => {
  for (const host of ["0.0.0.0", "::", "192.0.2.1"]) {
    const gateway = await Gateway.start({ set: { host }, ready: false });
    await waitFor("the gateway to exit", () => gateway.exit);
    assert.notEqual(gateway.exit.code, 0, host);
    assert.match(gateway.log, /auth\.secret/, "the log names the option to set");
  }
});

endToEnd("an_unknown_option_in_the_configuration_is_refused", async (stage) => {
  const folder = stage.folder();
  writeFileSync(`${folder}/wrong.toml`, "[http]\nprot = 8080\n");
  const gateway = await Gateway.start({ arguments: ["--config", `${folder}/wrong.toml`], ready: false });
  await waitFor("the gateway to exit", () => gateway.exit);
  assert.notEqual(gateway.exit.code, 0);
  assert.match(gateway.log, /prot/);
});

endToEnd("a_port_in_use_is_named_and_the_gateway_exits", async (stage) => {
  const first = await stage.gateway();
  const second = await Gateway.start({ set: { "http.port": first.httpPort }, ready: false });
  await waitFor("the second gateway to exit", () => second.exit);
  assert.notEqual(second.exit.code, 0);
  assert.match(second.log, new RegExp(`:${first.httpPort}`));
  first.assertAlive();
});
