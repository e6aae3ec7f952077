// Offers a test what it may ask of a page: start a client under a name, report its figures, stop it.
//
// The clients are plain scripts written from the specifications. They do not use our SDK, because the gateway must
// serve clients that it does not know.

import { playHls } from "./hls_client.js";
import { playLibrary } from "./library_client.js";
import { playFile, startLoopback } from "./loopback.js";
import { playWhep } from "./whep_client.js";
import { publishWhip } from "./whip_client.js";

const clients = new Map();
const starters = { whep: playWhep, whip: publishWhip, hls: playHls, library: playLibrary, loopback: startLoopback, file: playFile };

window.bench = {
  async start(kind, name, options) {
    const client = await starters[kind](options);
    clients.set(name, client);
    return client.report();
  },
  report: (name) => clients.get(name).report(),
  /** Discards the samples so far. */
  reset: (name) => clients.get(name).meter.reset(),
  call: (name, method, ...args) => clients.get(name)[method](...args),
  async stop(name) {
    const client = clients.get(name);
    clients.delete(name);
    return client?.stop();
  },
};
