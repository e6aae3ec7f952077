// What a test may ask of a page: start a client under a name, ask for its figures, stop it.
//
// Clients are plain scripts written from the specifications, not our SDK: the gateway must serve strangers.

import { playHls } from "./hls_client.js";
import { playFile, startLoopback } from "./loopback.js";
import { playWhep } from "./whep_client.js";
import { publishWhip } from "./whip_client.js";

const clients = new Map();
const starters = { whep: playWhep, whip: publishWhip, hls: playHls, loopback: startLoopback, file: playFile };

window.bench = {
  async start(kind, name, options) {
    const client = await starters[kind](options);
    clients.set(name, client);
    return client.report();
  },
  report: (name) => clients.get(name).report(),
  /** From here on only new samples count. */
  reset: (name) => clients.get(name).meter.reset(),
  call: (name, method, ...args) => clients.get(name)[method](...args),
  async stop(name) {
    const client = clients.get(name);
    clients.delete(name);
    return client?.stop();
  },
};
