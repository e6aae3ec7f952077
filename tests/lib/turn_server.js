// Runs coturn on loopback as operators run it for onmic: with a secret that both share. It is ended by its pid.

import { spawn } from "node:child_process";
import { connect } from "node:net";
import { freePortOfBoth } from "./ports.js";
import { waitFor } from "./wait.js";

export class TurnServer {
  #child;
  #log = [];
  #ended = null;

  static async start({ secret, folder }) {
    const server = new TurnServer();
    server.port = await freePortOfBoth();
    const options = [
      ["listening-ip", "127.0.0.1"],
      ["relay-ip", "127.0.0.1"],
      ["listening-port", server.port],
      ["static-auth-secret", secret],
      ["realm", "onmic.test"],
      ["pidfile", `${folder}/turnserver.pid`],
      ["userdb", `${folder}/turnserver.db`],
      ["log-file", "stdout"],
    ];
    const flags = ["-n", "--use-auth-secret", "--allow-loopback-peers", "--no-tls", "--no-dtls", "--no-cli", "--verbose"];
    server.#child = spawn("turnserver", [...flags, ...options.map(([name, value]) => `--${name}=${value}`)], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    for (const stream of [server.#child.stdout, server.#child.stderr]) stream.on("data", (text) => server.#log.push(text));
    server.#child.on("error", (error) => (server.#ended = String(error)));
    server.#child.on("exit", (code, signal) => (server.#ended = `${code ?? signal}`));
    const giveUp = () => {
      if (server.#ended) throw new Error(`coturn ended (${server.#ended}): ${server.log.slice(-2000)}`);
    };
    await waitFor("coturn to listen", () => server.#answers(), { giveUp });
    return server;
  }

  #answers() {
    return new Promise((resolve) => {
      const socket = connect(this.port, "127.0.0.1", () => socket.end(() => resolve(true)));
      socket.once("error", () => resolve(false));
    });
  }

  get log() {
    return this.#log.join("");
  }

  /** Returns the address for `turn.urls`. */
  url(transport) {
    return `turn:127.0.0.1:${this.port}?transport=${transport}`;
  }

  async stop() {
    if (this.#ended) return;
    this.#child.kill("SIGTERM");
    await waitFor("coturn to end", () => this.#ended);
  }
}
