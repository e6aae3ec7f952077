// Starts a gateway, lets the real ffmpeg send it a moving test picture with audio, and prints where to watch it. Runs
// until Ctrl-C or for DEMO_SECONDS. Ends everything that it started by its pid.

import { spawn } from "node:child_process";

const { ONMIC_BIN: binary = "target/debug/onmic", ...environment } = process.env;
const seconds = Number(process.env.DEMO_SECONDS ?? 0);
// The gateway reads the same variables.
const httpPort = process.env.ONMIC_HTTP_PORT ?? "8080";
const rtmpPort = process.env.ONMIC_RTMP_PORT ?? "1935";
const room = process.env.DEMO_ROOM ?? "demo";
// The settings that commands in another terminal need too.
const changed = [["ONMIC_RTMP_PORT", "1935"], ["DEMO_ROOM", "demo"]].filter(([name, usual]) => (process.env[name] ?? usual) !== usual);
const ports = changed.map(([name]) => ` ${name}=${process.env[name]}`).join("");
const http = `http://127.0.0.1:${httpPort}`;
const READY_LIMIT_MS = 20_000;
const STOP_LIMIT_MS = 10_000;

const children = [];
let stopping = false;
let ending = null; // { failure } says why the demo ends. null means Ctrl-C or the end of DEMO_SECONDS.
let wake;
const ended = new Promise((resolve) => {
  wake = resolve;
});

function end(failure) {
  ending ??= { failure };
  wake();
}

function start(name, program, argv) {
  // The child has its own process group, so Ctrl-C reaches only this process, which ends ffmpeg before the gateway.
  const child = spawn(program, argv, { stdio: ["ignore", "inherit", "inherit"], detached: true, env: environment });
  const entry = { name, child, ended: null };
  entry.ended = new Promise((resolve) => {
    child.on("error", (error) => resolve(`${name} did not start: ${error.message}`));
    child.on("exit", (code, signal) => resolve(`${name} ended (${code ?? signal})`));
  });
  entry.ended.then((how) => stopping || end(how));
  children.push(entry);
}

async function stop() {
  stopping = true;
  for (const { child, ended } of children.reverse()) {
    if (child.exitCode === null && child.signalCode === null) child.kill("SIGTERM");
    const limit = setTimeout(() => child.kill("SIGKILL"), STOP_LIMIT_MS);
    await ended;
    clearTimeout(limit);
  }
}

async function until(what, condition) {
  const deadline = Date.now() + READY_LIMIT_MS;
  while (!ending) {
    if (await condition().catch(() => false)) return;
    if (Date.now() > deadline) end(`${what} took too long`);
    await Promise.race([new Promise((resolve) => setTimeout(resolve, 100)), ended]);
  }
}

const picture = [
  ["-hide_banner", "-loglevel", "error", "-nostdin", "-re"],
  ["-f", "lavfi", "-i", "testsrc2=size=1280x720:rate=30"],
  ["-f", "lavfi", "-i", "sine=frequency=300:beep_factor=5:sample_rate=48000"],
  [
    "-vf",
    "drawtext=text='%{localtime\\:%T}':x=(w-tw)/2:y=h-th-40:fontsize=72:fontcolor=white:box=1:boxcolor=black@0.5:boxborderw=16,format=yuv420p",
  ],
  ["-c:v", "libx264", "-preset", "veryfast", "-tune", "zerolatency", "-g", "60", "-b:v", "2500k", "-maxrate", "2500k", "-bufsize", "2500k"],
  ["-af", "volume=0.25,aformat=channel_layouts=stereo", "-c:a", "aac", "-b:a", "128k"],
  ["-f", "flv", `rtmp://127.0.0.1:${rtmpPort}/live/${room}`],
].flat();

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => end(null));

start("the gateway", binary, []);
await until("the gateway", async () => (await fetch(`${http}/readyz`)).ok);
if (!ending) start("the test picture", "ffmpeg", picture);
await until("the test picture", async () => (await (await fetch(`${http}/api/v1/rooms/${room}`)).json()).live);

if (!ending) {
  console.log(`
  Watch       ${http}/watch/${room}     ask for the mic here
  Studio      ${http}/studio/${room}    let people on mic here
  All rooms   ${http}/
  WHEP        ${http}/whep/${room}
  LL-HLS      ${http}/hls/${room}/index.m3u8
  HTTP-FLV    ${http}/flv/${room}.flv
  RTMP        rtmp://127.0.0.1:${rtmpPort}/live/${room}
  API         ${http}/api/v1/rooms

  Add a co-host, from another terminal:   make demo-cohost${ports}
  Add another one:                        make demo-cohost NAME=ben${ports}

  Publish your own stream with OBS or ffmpeg to rtmp://127.0.0.1:${rtmpPort}/live with the stream key "mine",
  then watch ${http}/watch/mine

  ${seconds > 0 ? `The demo ends by itself in ${seconds} seconds.` : "Ctrl-C ends the demo."}
`);
  if (seconds > 0) setTimeout(() => end(null), seconds * 1000).unref();
}
await ended;
await stop();
if (ending.failure) {
  console.error(`demo: ${ending.failure}`);
  process.exit(1);
}
