// Adds a co-host to `make demo`: the real ffmpeg goes on mic as NAME, until Ctrl-C or the end of the demo.
//
// Its picture and its tone differ from the host's, so that people can tell the two apart. The stream key of a
// participant is ROOM/NAME. Without auth.secret they get a free seat.

import { spawn } from "node:child_process";

const rtmpPort = process.env.ONMIC_RTMP_PORT ?? "1935";
const room = process.env.DEMO_ROOM ?? "demo";
const name = process.env.NAME ?? process.argv[2] ?? "anna";
const seconds = Number(process.env.DEMO_SECONDS ?? 0);
const WAS_ON_MS = 5000; // A co-host who was on mic for this long was not refused.
const url = `rtmp://127.0.0.1:${rtmpPort}/live/${room}/${name}`;

if (!/^[A-Za-z0-9._-]{1,64}$/.test(name)) {
  console.error(`demo-cohost: ${name} is not a valid name. Use letters, digits, dots, dashes and underscores.`);
  process.exit(1);
}
// Each name has its own colour and tone.
const number = [...name].reduce((sum, letter) => (sum * 31 + letter.charCodeAt(0)) % 997, 7);
const hue = (number * 47) % 360;
const hertz = 420 + 60 * (number % 9);

const picture = [
  ["-hide_banner", "-loglevel", "fatal", "-nostdin", "-re"],
  ["-f", "lavfi", "-i", "smptehdbars=size=1280x720:rate=30"],
  ["-f", "lavfi", "-i", `sine=frequency=${hertz}:sample_rate=48000`],
  [
    "-vf",
    `hue=h=${hue},drawtext=text='${name}':x=(w-tw)/2+sin(t)*w/4:y=(h-th)/2:fontsize=120:fontcolor=white:box=1:boxcolor=black@0.5:boxborderw=24,format=yuv420p`,
  ],
  ["-c:v", "libx264", "-preset", "veryfast", "-tune", "zerolatency", "-g", "60", "-b:v", "2000k", "-maxrate", "2000k", "-bufsize", "2000k"],
  // One note per second, which fades in and out.
  ["-af", "volume=0.2*pow(sin(PI*t)\\,2):eval=frame,aformat=channel_layouts=stereo", "-c:a", "aac", "-b:a", "128k"],
  ["-f", "flv", url],
].flat();

let stopping = false;
const ffmpeg = spawn("ffmpeg", picture, { stdio: ["ignore", "inherit", "inherit"], detached: true });
const stop = () => {
  stopping = true;
  ffmpeg.kill("SIGTERM");
};
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, stop);
if (seconds > 0) setTimeout(stop, seconds * 1000).unref();
ffmpeg.on("error", (error) => {
  console.error(`demo-cohost: ffmpeg did not start: ${error.message}`);
  process.exit(1);
});
ffmpeg.on("exit", (code, signal) => {
  if (stopping) process.exit(0);
  if (performance.now() > WAS_ON_MS) {
    console.log(`"${name}" is off the mic: the host has removed them, or the demo has ended.`);
    process.exit(0);
  }
  console.error(`demo-cohost: ffmpeg ended (${code ?? signal}). Does the demo run, and is the name "${name}" free?`);
  process.exit(1);
});
console.log(`"${name}" goes on mic in "${room}". Ctrl-C takes them off.`);
